"""The examples of docs/python.md run in order, with a tiny model in place of the included one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import showtell
from showtell.api import load
from tests.conftest import make_snippets

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.mark.slow  # it trains, exports and writes a report
def test_the_examples_run(
    tiny_model: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(showtell, "load", lambda name=str(tiny_model): load(name))
    monkeypatch.setattr("showtell.training.initial_model.DEFAULT_MODEL", str(tiny_model))
    words = ("cat", "dog", "man")
    lines = [
        {
            "image": path.name,
            "caption": f"a {words[place % 3]} runs",
            "split": "val" if place > 8 else "train",
        }
        for place, path in enumerate(make_snippets(tmp_path / "my_photos", 12))
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "my_photos" / "captions.jsonl").write_text(text)
    names = {"photo": photos[0], "pixels": np.asarray(Image.open(photos[1]))}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, "docs/python.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "runs/mine: " in shown
    assert "CIDEr" in shown
    assert "3 photos)" in shown
    assert "exported/mine: fp32" in shown
    (promised,) = re.findall(r"# (model\(\) .*)", PAGE.read_text())
    assert shown.splitlines()[-1] == promised


def test_every_public_function_is_documented() -> None:
    text = PAGE.read_text()
    functions = ("load", "train", "evaluate", "report", "export")
    assert [name for name in functions if f"showtell.{name}(" not in text] == []
