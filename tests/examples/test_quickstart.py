"""The notebook runs from top to bottom, and its stored outputs are those of such a run."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"


def code_cells() -> list[dict[str, Any]]:
    """The code cells of the notebook."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell, and return the value of its last line where that is an expression, as Jupyter does."""
    body = ast.parse(source)
    last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
    exec(compile(body, "quickstart.ipynb", "exec"), namespace)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "quickstart.ipynb", "eval"), namespace)


def test_outputs_are_stored_and_small() -> None:
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert NOTEBOOK.stat().st_size < 100_000


@pytest.mark.slow
def test_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "notebook"}
    values = [run_cell("".join(cell["source"]), namespace) for cell in code_cells()]
    assert list(tmp_path.iterdir()) == []  # all files are in temporary folders
    shown = [value._repr_html_() for value in values if hasattr(value, "_repr_html_")]
    assert any("data:image/" in html for html in shown)
    tuned = {name: namespace["tuned"](photo).text for name, photo in namespace["photos"].items()}
    assert tuned == namespace["CAPTIONS"]
