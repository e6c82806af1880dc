"""The two halves of a notebook are equal, and neither contains a patient's values."""

import jupytext
import nbformat
import pytest

from server1.notebooks.conftest import NAMES
from server1.notebooks.support.running import FOLDER

HOW = "the halves differ; run .venvs/notebooks/bin/jupytext --sync server1-data/notebooks/*.py"


def test_these_are_all():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_halves_say_the_same(name):
    script = jupytext.read(FOLDER / f"{name}.py")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    halves = [[(cell.cell_type, cell.source) for cell in half.cells] for half in (script, notebook)]
    assert halves[0] == halves[1], HOW
    assert script.metadata["kernelspec"] == notebook.metadata["kernelspec"]


@pytest.mark.parametrize("name", NAMES)
def test_no_output_is_kept(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert not any(cell.get("attachments") for cell in notebook.cells)
