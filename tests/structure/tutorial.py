#!/usr/bin/env python3
"""Holds docs/tutorial.md to what there is.

Every `ftc` command in it is one that the command line takes (no option that does not exist, no value of a wrong kind); every
test that its table names exists; every option of the table is one of `ftc run`. A block behind <!-- run --> is executed, and
must print the block that follows it: where there is ../shared/data, with a tokenizer made of the vocabulary in it.

    tutorial.py FTC docs/tutorial.md
"""

import json
import os
import pathlib
import re
import shlex
import sys
import tempfile

from checks import Checks, Ftc
from documents import blocks_of, commands_of


def table_rows(text):
    lines = text[text.index("| feature | command | test |") :].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]


def main():
    document = pathlib.Path(sys.argv[2]).resolve()
    root = document.parent.parent
    text = document.read_text(encoding="utf-8")
    blocks = blocks_of(text)
    checks = Checks(document.name)
    ftc = Ftc(sys.argv[1], root)

    def is_taken(words):  # the help comes when everything before it was right
        done = ftc(*words, "--help")
        checks.that(f"ftc {shlex.join(words)}: {done.stderr}", done.returncode == 0)

    criterion = set()
    for path in (root / "tests").glob("test_*.c"):
        found = re.findall(r"^Test\((\w+), (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        criterion |= {f"{suite}/{name}" for suite, name in found}
    with open(root / "tests/golden/parity/tiny/golden.json", encoding="utf-8") as file:
        goldens = {f"parity tiny: {run['name']}" for run in json.load(file)["runs"]}
    meson = re.findall(
        r"^ *test\('([^']+)'", (root / "tests/meson.build").read_text(encoding="utf-8"), re.MULTILINE
    )
    tests = criterion | goldens | set(meson)

    for _, language, content in blocks:
        if language == "sh":
            for words in commands_of(content):
                is_taken(words)
    for feature, command, held_by in table_rows(text):
        for code in re.findall(r"`([^`]*)`", command):
            if code.startswith("ftc "):
                is_taken(shlex.split(code)[1:])
            elif code.startswith("--"):
                is_taken(["run", *shlex.split(code)])
        names = re.findall(r"`([^`]*)`", held_by)
        checks.that(f"'{feature}' has no test", names)
        for name in names:
            checks.that(f"'{feature}': there is no test '{name}'", name in tests)

    data = pathlib.Path(os.environ.get("FTC_SHARED_DATA", root.parent / "shared/data"))
    with tempfile.TemporaryDirectory() as work:
        clone = pathlib.Path(work, "ftc")
        clone.mkdir()
        if data.exists():
            pathlib.Path(work, "minilm").mkdir()
            vocabulary = (data / "vocab/bert-base-uncased.txt").read_text(encoding="utf-8")
            pathlib.Path(work, "minilm/vocab.txt").write_text(vocabulary, encoding="utf-8")
            pathlib.Path(work, "shared").mkdir()
            pathlib.Path(work, "shared/data").symlink_to(data.resolve())
        for (is_run, _, script), (_, _, expected) in zip(blocks, blocks[1:]):
            if not is_run:
                continue
            if not data.exists():
                checks.skip("no ../shared/data")
                continue
            printed = "".join(Ftc(sys.argv[1], clone)(*words).stdout for words in commands_of(script))
            checks.that(f"{script}prints:\n{printed}", printed == expected)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
