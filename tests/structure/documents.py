"""Pages of docs/ as tests read them: fenced blocks, those that are run, the commands in them."""

import fnmatch
import re
import shlex

FENCE = re.compile(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks_of(text):
    """(whether it is to be run, its language, its content) of every fenced block."""
    return [(bool(run), language, content) for run, language, content in FENCE.findall(text)]


def left_in_a_clone(root, work, known):
    """What examples that ran in `work` have left there, but for the names `known`, that git would show."""
    ignored = [line.strip("/") for line in (root / ".gitignore").read_text(encoding="utf-8").splitlines()]
    left = sorted({path.name for path in work.iterdir()} - set(known))
    return [name for name in left if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)]


def commands_of(script):
    """The lines of a script that call ftc, as lists of words."""
    words = [shlex.split(line) for line in script.splitlines() if re.match(r"(build/)?ftc ", line)]
    return [line[1:] for line in words]
