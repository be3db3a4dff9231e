"""docs/tutorial.ipynb runs, and shows what stands in it. FTC_UPDATE_GOLDEN=1 writes its outputs anew."""

import os
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs/tutorial.ipynb"
# What differs from machine to machine: times, and the last digits of what is trained.
NUMBERS = re.compile(r"\d+(?:[.:]\d+)*")


@pytest.fixture(scope="module")
def nbformat():
    return pytest.importorskip("nbformat", reason="no nbformat and nbclient, for the notebook")


def shown(cell):
    """The outputs of a cell as text, without numbers; a run of one stream in one piece."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts.append(output.get("text") or data.get("text/html") or data.get("text/plain", ""))
    return NUMBERS.sub("0", "".join(texts))


def test_runs_as_it_is_printed(nbformat, tmp_path):
    client = pytest.importorskip("nbclient", reason="no nbclient, for the notebook")
    pytest.importorskip("ipykernel", reason="no ipykernel, for the notebook")
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "docs").mkdir()
    printed, notebook = nbformat.read(NOTEBOOK, 4), nbformat.read(NOTEBOOK, 4)
    runner = client.NotebookClient(
        notebook, timeout=300, record_timing=False, resources={"metadata": {"path": str(tmp_path / "docs")}}
    )
    runner.execute()
    if os.environ.get("FTC_UPDATE_GOLDEN"):
        notebook.metadata = printed.metadata
        nbformat.write(notebook, NOTEBOOK)
        printed = notebook
    for cell, right in zip(notebook.cells, printed.cells):
        if "ftc.benchmark" not in cell.source:  # whose columns are as wide as their numbers
            assert shown(cell) == shown(right), cell.source
    pages = [o["data"]["text/html"] for cell in notebook.cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})]
    training, benchmark = pages
    assert "<progress value='375' max='375'" in training and training.count("<tr>") == 4
    assert all(f"<th>{name}</th>" in training for name in ("Epoch", "Training Loss", "Validation Loss", "Accuracy"))
    accuracies = [float(x) for x in re.findall(r"<td>(0\.\d+)</td></tr>", training)]
    assert len(accuracies) == 3 and accuracies[-1] > 0.6
    assert "<caption>" in benchmark and "not measured" not in benchmark


def test_outputs_are_there_and_of_no_machine(nbformat):
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells) and sum(bool(cell.outputs) for cell in cells) >= 8
    assert not re.search(r"/(home|root|tmp|usr|work|opt)/", "".join(str(cell.outputs) for cell in cells))
