"""The notebook runs, and is kept without outputs."""

import json

import nbformat
from nbclient import NotebookClient

from documents import ROOT

NOTEBOOK = ROOT / "examples" / "evaluate_predictions.ipynb"


def test_it_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    last = "".join(output["text"] for output in notebook.cells[-1].outputs)
    assert "report.html" in last


def test_it_is_kept_without_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
