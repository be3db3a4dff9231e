#!/usr/bin/env python3
"""docs/architecture.md is true of the sources: paths exist, folders are named, its commands run, words stand where it says.

architecture.py SOURCE_ROOT FTC
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

root, ftc = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
text = (root / "docs/architecture.md").read_text()
failures, passed = [], 0
ROOMS = ["ir", "json", "compiler", "runtime", "models", "tests", "bench", "docs", "python"]


def holds(condition, failure):
    global passed
    if condition:
        passed += 1
    else:
        failures.append(failure)


# Paths, and folders.
named = set(re.findall(r"`([a-z_]+/[A-Za-z0-9_./-]*)`", text))
for path in sorted(named):
    holds((root / path).exists(), f"no {path}")
sources = [p for room in ROOMS for p in (root / room).rglob("*") if p.suffix in {".c", ".h", ".ir", ".py", ".sh"}]
holds(len(sources) > 200, f"only {len(sources)} sources found below {root}")
for folder in sorted({p.parent.relative_to(root).as_posix() for p in sources}):
    is_data = folder.startswith(("tests/golden/", "tests/fuzz/corpus/"))
    holds(is_data or folder + "/" in named, f"the folder {folder}/ is not named")

# The glossary.
words = re.findall(r"^\| (\*\*.*?) \| .* \| `([^`]+)` \|$", text, re.MULTILINE)
holds(len(words) > 30, f"only {len(words)} rows of the glossary found")
for row, path in words:
    source = re.sub(r"\s*\n\s*//\s*", " ", (root / path).read_text()).lower()
    for word in re.findall(r"\*\*(.+?)\*\*", row):
        stem = word.replace(" ", "[ _]")
        holds(re.search(f"(?<![a-z]){stem}(s|ed)?(?![a-z])", source), f'"{word}" is not in {path}')

# The commands, in order, in one folder that has what they name.
commands = [line.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
commands = [command for command in commands if command]
holds(len(commands) > 5, f"only {len(commands)} commands found")
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "models").symlink_to(root / "models")
    (Path(folder) / "build").mkdir()
    (Path(folder) / "build/ftc").symlink_to(ftc)
    for command in commands:
        done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True)
        printed = done.stdout.strip() or "wrote" in done.stderr or "saved" in done.stderr
        holds(done.returncode == 0 and printed, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")

for failure in failures:
    print("docs/architecture.md:", failure, file=sys.stderr)
print(f"{passed} passed, {len(failures)} failed")
sys.exit(1 if failures else 0)
