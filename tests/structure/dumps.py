#!/usr/bin/env python3
"""Holds the dumps shown in docs/pipeline.md to what the compiler prints.

A comment before a fenced block says what the block shows of the dump after a pass, as a list of parts:

    <!-- dump simplify: forward, update at 10 -->
        forward, recompute, backward, update
                                      the nodes of this phase; `at N`: those that come from line N of the model
        kernel 3                      the third kernel
        kernels                       each kernel's first line
        memory, output, moment, ...   the lines that start with this word
    <!-- file docs/tiny.ir -->        a whole file

Locations, which all name the same file, are left out.

    dumps.py FTC docs/pipeline.md             compares
    dumps.py FTC docs/pipeline.md --update    writes the blocks anew
"""

import difflib
import pathlib
import re
import subprocess
import sys
import tempfile

from checks import Checks

BLOCK = re.compile(
    r"(?P<head><!-- (?P<what>dump|file) (?P<spec>[^>]*?) -->\n```\n)(?P<text>.*?)(?=^```)", re.DOTALL | re.MULTILINE
)
PHASES = ("forward", "recompute", "backward", "update")
NODE = re.compile(r"^ *%\d+ = ")
LOCATION = re.compile(r' loc\("[^"]*":(\d+)\)$')


def make_dumps(ftc, model):
    """The text after each pass, by the pass's name."""
    with tempfile.TemporaryDirectory() as folder:
        command = [ftc, "compile", model, "--dump-after", "all", "--dump-dir", folder, "-o", folder + "/tiny.ftc"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        paths = pathlib.Path(folder).glob("*.ir")
        return {path.stem.split("-", 1)[1]: path.read_text(encoding="utf-8") for path in paths}


def phase_of(line):
    declaration = LOCATION.sub("", line).split(" : ", 1)[1]
    return next((phase for phase in PHASES[1:] if f" {phase}" in declaration), "forward")


def belongs(part, line, kernel):
    """Whether a line of a dump, in the n-th kernel (0: in none), is in a part of the list."""
    words = part.split()
    if words == ["kernels"]:
        return line.startswith("kernel ")
    if words[0] == "kernel":
        return kernel == int(words[1])
    if words[0] not in PHASES:
        return line.startswith(words[0] + " ")
    if not NODE.match(line) or phase_of(line) != words[0]:
        return False
    place = LOCATION.search(line)  # none: made by a pass
    return len(words) == 1 or (place is not None and place.group(1) == words[2])


def select(dump, parts):
    lines, kernel, n_kernels = [], 0, 0
    for line in dump.splitlines():
        if line.startswith("kernel "):
            n_kernels += 1
            kernel = n_kernels
        if any(belongs(part.strip(), line, kernel) for part in parts.split(",")):
            lines.append(LOCATION.sub("", line))
        if line == "}":
            kernel = 0
    return "".join(line + "\n" for line in lines)


def main():
    ftc, document = sys.argv[1], pathlib.Path(sys.argv[2])
    root = document.resolve().parent.parent
    dumps = make_dumps(ftc, str(root / "docs/tiny.ir"))
    checks = Checks(document.name)

    def shown(match):
        if match["what"] == "file":
            expected = (root / match["spec"]).read_text(encoding="utf-8")
        else:
            name, parts = match["spec"].split(":")
            expected = select(dumps[name], parts)
        old, new = match["text"].splitlines(), expected.splitlines()
        difference = "\n".join(difflib.unified_diff(old, new, "document", "now", lineterm=""))
        what = f"<!-- {match['what']} {match['spec']} --> is not what the compiler prints:\n{difference}"
        checks.that(what, match["text"] == expected and expected)
        return match["head"] + expected

    text = document.read_text(encoding="utf-8")
    updated = BLOCK.sub(shown, text)
    for name in dumps:
        checks.that(f"pass {name} has no section", f"\n## {name}\n" in text)
    if "--update" in sys.argv[3:]:
        document.write_text(updated, encoding="utf-8")
        return 0
    if checks.failed:
        print("to write the blocks anew: tests/structure/dumps.py build/ftc docs/pipeline.md --update")
        print("then read what the text says about them")
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
