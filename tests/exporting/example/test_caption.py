"""The example in the folder of an exported model."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from showtell.config import SearchConfig
from showtell.runtime.exported import ExportedCaptioner
from tests.conftest import make_snippets


def test_the_example_captions_with_onnx_runtime_alone(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(path) for path in make_snippets(tmp_path / "photos", 2, side=200)]
    script = exported / "caption.py"
    assert len(script.read_text().splitlines()) <= 60
    with monkeypatch.context() as patch:
        for package in ("torch", "showtell"):
            patch.setitem(sys.modules, package, None)  # importing it fails
        patch.setattr(sys, "argv", [str(script), *photos])
        runpy.run_path(str(script), run_name="__main__")
    config = SearchConfig(beam_size=1, block_ngram=0)
    captions = ExportedCaptioner(exported, "onnx").caption(photos, config)
    expected = [f"{photo}: {' '.join(best.words)}" for photo, (best,) in zip(photos, captions, strict=True)]
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(
    ("names", "message"), [([], "usage: python caption.py"), (["nope.jpg"], "nope.jpg: ")]
)
def test_the_example_refuses_what_it_cannot_caption(
    names: list[str], message: str, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = str(exported / "caption.py")
    monkeypatch.setattr(sys, "argv", [script, *names])
    with pytest.raises(SystemExit, match=message):
        runpy.run_path(script, run_name="__main__")
