"""The notebook of the path: its cells are whole, name what there is, and run."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from paddle_ground.cli import app

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
SHELL = [cell for cell in CELLS if "".join(cell["source"]).startswith("%%bash\n")]
PYTHON = [cell for cell in CELLS if cell["cell_type"] == "code" and cell not in SHELL]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_it_is_a_whole_notebook_that_names_no_machine() -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra `dev`)")
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
    assert not re.findall(r"/(?:home|root|tmp|work|Users|opt|usr)/", NOTEBOOK.read_text(encoding="utf-8"))
    assert not [out for cell in CELLS for out in cell.get("outputs", ()) if out["output_type"] == "error"]


@pytest.mark.parametrize("cell", SHELL, ids=lambda cell: cell["id"])
def test_every_command_is_one(cell: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OUT", "STEPS", "BATCH", "SAVE", "LOG"):
        monkeypatch.setenv(name, "8")
    lines = os.path.expandvars(source(cell).replace("\\\n", " ")).splitlines()[1:]
    for words in map(shlex.split, lines):
        assert words[0] == "paddle-ground"
        assert not [word for word in words if "$" in word], "a variable that the notebook does not set"
        program = typer.main.get_command(app)
        context = program.make_context("paddle-ground", words[1:])
        name, command, rest = program.resolve_command(context, words[1:])  # type: ignore[attr-defined]
        command.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("cell", PYTHON, ids=lambda cell: cell["id"])
def test_every_name_that_is_imported_is_there(cell: dict[str, Any]) -> None:
    for node in ast.walk(ast.parse(source(cell))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("paddle_ground"):
            for alias in node.names:
                assert hasattr(importlib.import_module(str(node.module)), alias.name)


def test_the_site_shows_it(site: Path) -> None:
    page = (site / "notebook.html").read_text(encoding="utf-8")
    assert page.count("<pre") >= len(SHELL) + len(PYTHON)
    assert (site / "notebook.ipynb").read_bytes() == NOTEBOOK.read_bytes()


@pytest.mark.heavy
def test_it_runs(tmp_path: Path) -> None:
    """From docs/, as Jupyter starts it, with so few scenes and steps that nothing is learned."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra `dev`)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra `dev`)")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (settings,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    names = re.findall(r"^(\w+) =", settings.source, re.M)
    small = {"TRAIN_IMAGES": 24, "VAL_IMAGES": 6, "STEPS": 3, "BATCH": 4, "OUT": str(tmp_path / "out")}
    assert names == list(small)
    settings.source = "\n".join(f"{name} = {value!r}" for name, value in small.items())
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    for left in ("check.html", "scores/metrics.json", "compare/compare.json"):
        assert (tmp_path / "out" / left).is_file(), left
    assert list((tmp_path / "out" / "run").glob("*.safetensors"))
    drawn = [
        out
        for cell in notebook.cells
        for out in cell.get("outputs", ())
        if "image/png" in out.get("data", {})
    ]
    assert len(drawn) == 2
    assert (tmp_path / "out" / "page" / "index.html").stat().st_size > 20_000
