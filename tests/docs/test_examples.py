"""The examples of the documents run, and print what they say they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_data_preprocessing_example(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "data_preprocessing.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "docs/data_preprocessing.md", "exec"), {"__name__": "example"})
    said = capsys.readouterr().out.splitlines()
    promised = [line.split("  # ")[1] for line in code.splitlines() if line.startswith("print(")]
    assert said == [promise.split(":")[0] for promise in promised]


def test_the_example_of_the_model_card(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS.parent / "models" / "everyday" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "photo.jpg").write_bytes(photos[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "models/everyday/README.md", "exec"), {})
    words, _, confidence = capsys.readouterr().out.rpartition(" ")
    assert len(words.split()) > 3
    assert 0 < float(confidence) < 1


def test_every_public_name_is_documented() -> None:
    import data_preprocessing

    text = (DOCS / "data_preprocessing.md").read_text()
    assert [name for name in data_preprocessing.__all__ if name not in text] == []
