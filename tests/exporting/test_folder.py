"""Export: every decoder, int8, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.config import Cell, DecoderKind
from showtell.errors import ShowtellError, UsageError
from showtell.exporting.folder import check_target, export_model
from showtell.runtime.exported import ExportedCaptioner
from showtell.runtime.manifest import Manifest
from tests.commands.test_caption import save_model


def load(folder: Path) -> Captioner:
    captioner = Captioner.load(str(folder), device=torch.device("cpu"))
    captioner.encoder.precision = "fp32"
    return captioner


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cell"), [("attention", "lstm"), ("pooled", "gru")])
def test_every_decoder_captions_as_in_pytorch(
    kind: DecoderKind, cell: Cell, tmp_path: Path, snippets: list[Path]
) -> None:
    captioner = load(save_model(tmp_path / "model", kind, cell))
    export_model(captioner, "tiny", tmp_path / "out")
    exported = ExportedCaptioner(tmp_path / "out", "onnx")
    assert exported.has_attention == captioner.has_attention
    texts = [
        [captions[0].text for captions in model.caption(snippets[:12])] for model in (exported, captioner)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


@pytest.mark.slow
def test_an_ensemble_is_exported_as_one_model(tmp_path: Path, snippets: list[Path]) -> None:
    names = [str(save_model(tmp_path / f"{seed}", seed=seed)) for seed in range(2)]
    captioner = Captioner.load_ensemble(names, device=torch.device("cpu"))
    captioner.encoder.precision = "fp32"
    export_model(captioner, "both", tmp_path / "out")
    exported = ExportedCaptioner(tmp_path / "out", "onnx")
    texts = [
        [captions[0].text for captions in model.caption(snippets[:8])] for model in (exported, captioner)
    ]
    assert texts[0] == texts[1]


def test_a_folder_is_replaced_only_where_it_is_an_export(
    tiny_captioner: Captioner, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_graphs(_: Captioner, target: Path) -> tuple[int, int, int]:
        for graph in exported.glob("*.onnx"):
            shutil.copy(graph, target)
        manifest = Manifest.load(exported)
        return manifest.context, manifest.recurrent_tensors, manifest.top

    monkeypatch.setattr("showtell.exporting.folder.write_graphs", copy_graphs)  # which takes seconds
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("important")
    with pytest.raises(UsageError, match="something else"):
        export_model(tiny_captioner, "tiny", mine)
    with pytest.raises(UsageError, match="name some with --photos"):
        export_model(tiny_captioner, "tiny", tmp_path / "new", "int8")
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}
    old = Path(shutil.copytree(exported, tmp_path / "old"))
    (old / "step.xml").write_text("")
    (old / "README.md").write_text("")
    written = export_model(tiny_captioner, "tiny", old)
    assert written == Manifest.load(old) == Manifest.load(exported)
    assert not (old / "step.xml").exists()
    assert "tiny" in (old / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("caption.py", "has been changed"),
        ("photo.jpg", "something else"),
        (".", "you are in"),
        ("showtell.json", "something else"),  # without it, graphs and a README may be anybody's
    ],
)
def test_other_files_are_left_alone(
    name: str, reason: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "mine"))
    check_target(folder)
    if name == ".":
        monkeypatch.chdir(folder)
        folder = Path(name)
    elif name == "showtell.json":
        (folder / name).unlink()
    else:
        (folder / name).write_text("mine")
    with pytest.raises(UsageError, match=reason):
        check_target(folder)


def test_a_folder_that_cannot_be_written_is_named(tiny_captioner: Captioner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShowtellError, match="file/out: cannot be written"):
        export_model(tiny_captioner, "tiny", tmp_path / "file" / "out")
