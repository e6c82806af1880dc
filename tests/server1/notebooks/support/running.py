"""Run notebooks as users do: in a kernel from top to bottom, or their .py half as a script."""

import os
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[4] / "server1-data" / "notebooks"
CELL_SECONDS = 300


def run(name: str, settings: Mapping[str, str]) -> nbformat.NotebookNode:
    """Execute one notebook in its own kernel and return it with its outputs. The file does not change."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=CELL_SECONDS, resources=where)
    return client.execute(env={**os.environ, **settings})


def run_script(name: str, settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the .py half in this process; exceptions of a cell propagate."""
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(FOLDER)
    mpl.use("Agg")
    try:
        return runpy.run_path(str(FOLDER / f"{name}.py"))
    finally:
        plt.close("all")


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the outputs of all cells."""
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def said(notebook: nbformat.NotebookNode) -> str:
    """Return the text that the cells printed and displayed."""
    found = []
    for output in outputs(notebook):
        found.append(output.get("text", ""))
        data = output.get("data", {})
        found += [data.get("text/html", data.get("text/plain", ""))] if "image/png" not in data else []
    return "\n".join(found)


def pictures(notebook: nbformat.NotebookNode) -> int:
    """Return the number of pictures."""
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))
