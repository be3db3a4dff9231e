#!/usr/bin/env python3
"""Holds docs/laboratory.md to what there is.

What stands behind <!-- run --> is executed, one block after the other in one folder, and prints the block that follows it, where
`…` is any number of lines. Numbers are those of the machine and the day, and so is what follows from them: which program is
faster, what binds a kernel, for which CPU it is.

    laboratory.py FTC docs/laboratory.md
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from checks import Checks
from documents import blocks_of, left_in_a_clone

OF_THE_DAY = (
    (r"compiled for \S+", "compiled for CPU"),
    (r"\b(faster|slower|no difference seen)\b", "verdict"),
    (r"bound by \w+", "bound by roof"),
    (r"\d+(\.\d+)?(e[+-]\d+)?", "N"),
    (r"\s+", " "),
)


def without_the_day(text):
    lines = []
    for line in text.rstrip("\n").split("\n"):
        for pattern, what in OF_THE_DAY:
            line = re.sub(pattern, what, line)
        lines.append(line.strip())
    return lines


def is_printed(expected, printed):
    """Whether the lines are these, where `…` stands for any."""
    pattern = "".join(r"(.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in without_the_day(expected))
    return re.fullmatch(pattern, "".join(line + "\n" for line in without_the_day(printed)))


def main():
    page = pathlib.Path(sys.argv[2]).resolve()
    root = page.parent.parent
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    checks = Checks(page.name)
    with tempfile.TemporaryDirectory() as work:
        for folder in ("docs", "models"):
            pathlib.Path(work, folder).symlink_to(root / folder)
        pathlib.Path(work, "bin").mkdir()
        pathlib.Path(work, "bin/ftc").symlink_to(pathlib.Path(sys.argv[1]).resolve())
        environment = {**os.environ, "PATH": f"{work}/bin:{os.environ['PATH']}"}
        for (is_run, _, script), (_, _, expected) in zip(blocks, blocks[1:]):
            if not is_run:
                continue
            command = ["bash", "-ec", script]
            done = subprocess.run(
                command, cwd=work, env=environment, check=False, capture_output=True, text=True, timeout=300
            )
            checks.that(f"{script}fails:\n{done.stderr}", done.returncode == 0)
            checks.that(f"{script}prints:\n{done.stdout}", is_printed(expected, done.stdout))
        left = left_in_a_clone(root, pathlib.Path(work), ["docs", "models", "bin"])
        checks.that(f".gitignore lacks what the page leaves: {left}", not left)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
