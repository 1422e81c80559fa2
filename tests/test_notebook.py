"""The tutorial runs from its first cell to its last, and is stored without what it shows."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import PROJECT

TUTORIAL = PROJECT / "notebooks" / "tutorial.ipynb"


def test_the_tutorial_is_stored_without_outputs() -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 8
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.filterwarnings(
    "ignore"
)  # of the packages that run it; what the notebook itself prints on stderr is looked at
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder notebooks/ of a copy, from which it goes to that of config.yml."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copy(PROJECT / "config.yml", tmp_path)
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(TUTORIAL, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "notebooks")}})
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    texts = [output.data.get("text/plain", "") for output in outputs if "data" in output]
    assert any(text.startswith("<runs/tutorial-1: finished, val/miou 0.") for text in texts)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert printed.count("epoch 4/4  train loss ") == 2 and "runs/tutorial-1/evaluation-val-1: " in printed
