"""The examples of docs/python.md run and print what stands below them."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/structure"))

from documents import left_in_a_clone  # noqa: E402

EXAMPLE = re.compile(r"```python\n((?:(?!```).*\n)*)```\n\n((?:    .*\n)+)")
EXAMPLES = EXAMPLE.findall((ROOT / "docs/python.md").read_text())


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("code, printed", EXAMPLES)
def test_example(code, printed, tmp_path):
    (tmp_path / "models").symlink_to(ROOT / "models")
    if "transformers" in code:
        pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not left_in_a_clone(ROOT, tmp_path, ["models"])
    lines, wanted = done.stdout.splitlines(), [line[4:] for line in printed.splitlines()]
    assert len(lines) == len(wanted), done.stdout
    for line, right in zip(lines, wanted):
        assert line.startswith(right[:-1]) if right.endswith("…") else line == right
