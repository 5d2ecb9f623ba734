"""Export: every decoder, int8, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.config import Cell, DecoderKind
from showtell.data.decode_ahead import decode_ahead
from showtell.errors import ShowtellError, UsageError
from showtell.exporting.folder import check_target, export_model
from showtell.exporting.graphs import write_graphs
from showtell.exporting.quantize import _outside_recurrence
from showtell.runtime.exported import ExportedCaptioner
from showtell.search.interface import FloatArray
from tests.commands.test_caption import save_model


def load(folder: Path) -> Captioner:
    captioner = Captioner.load(str(folder), device=torch.device("cpu"))
    captioner.encoder.precision = "fp32"
    return captioner


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cell"), [("attention", "lstm"), ("pooled", "gru")])
def test_every_decoder_says_what_it_says_in_pytorch(
    kind: DecoderKind, cell: Cell, tmp_path: Path, snippets: list[Path]
) -> None:
    captioner = load(save_model(tmp_path / "model", kind, cell))
    export_model(captioner, "tiny", tmp_path / "out")
    exported = ExportedCaptioner(tmp_path / "out", "onnx")
    assert exported.has_attention == captioner.has_attention
    texts = [[found[0].text for found in model.caption(snippets[:12])] for model in (exported, captioner)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


@pytest.mark.slow
def test_an_ensemble_speaks_as_one(tmp_path: Path, snippets: list[Path]) -> None:
    names = [str(save_model(tmp_path / f"{seed}", seed=seed)) for seed in range(2)]
    captioner = Captioner.load_ensemble(names, device=torch.device("cpu"))
    captioner.encoder.precision = "fp32"
    export_model(captioner, "both", tmp_path / "out")
    exported = ExportedCaptioner(tmp_path / "out", "onnx")
    texts = [[found[0].text for found in model.caption(snippets[:8])] for model in (exported, captioner)]
    assert texts[0] == texts[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of NNCF's own parts
def test_int8_is_small_and_close(
    tiny_captioner: Captioner, exported: Path, tmp_path: Path, snippets: list[Path]
) -> None:
    pixels = [item.pixels for item in decode_ahead(snippets, tiny_captioner.transform.pixels)]
    assert all(image is not None for image in pixels)
    folder = tmp_path / "int8"
    manifest = export_model(tiny_captioner, "tiny", folder, "int8", pixels[:24])  # type: ignore[arg-type]
    assert manifest.precision == "int8"
    assert {"encoder.xml", "encoder.bin", "step.xml", "step.bin"} <= manifest.files.keys()
    assert "start.xml" not in manifest.files
    expected = tiny_captioner.encode_pixels(pixels[24:]).numpy()  # type: ignore[arg-type]
    for runtime in ("onnx", "openvino"):
        found = ExportedCaptioner(folder, runtime).encode_pixels(pixels[24:])  # type: ignore[arg-type]
        error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
        assert 0 < error < 0.2
    assert (folder / "encoder.bin").stat().st_size < (exported / "encoder.onnx").stat().st_size / 2
    plain, low = ExportedCaptioner(exported, "openvino"), ExportedCaptioner(folder, "openvino")
    ours, theirs = (first_logits(model, expected) for model in (plain, low))
    assert 0 < np.sqrt(np.mean((ours - theirs) ** 2) / np.var(ours)) < 0.2


def first_logits(model: ExportedCaptioner, features: FloatArray) -> FloatArray:
    """Of all words, after the start of a caption (B, 1, V)."""
    remembered = [array.copy() for array in model._start.run([features])]
    tokens = np.full((len(features), 1), model.vocabulary.start_id, np.int64)
    return np.array(model._step.run([tokens, *remembered])[2])


def test_a_folder_is_replaced_only_where_it_is_an_export(
    tiny_captioner: Captioner, exported: Path, tmp_path: Path
) -> None:
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
    export_model(tiny_captioner, "tiny", old)
    assert not (old / "step.xml").exists()
    assert "tiny" in (old / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("caption.py", "has been changed"), ("photo.jpg", "something else"), (".", "you are in")],
)
def test_what_is_not_the_export_s_is_left_alone(
    name: str, reason: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "mine"))
    check_target(folder)
    if name == ".":
        monkeypatch.chdir(folder)
        folder = Path(name)
    else:
        (folder / name).write_text("mine")
    with pytest.raises(UsageError, match=reason):
        check_target(folder)


def test_a_folder_that_cannot_be_written_is_named(tiny_captioner: Captioner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShowtellError, match="file/out: cannot be written"):
        export_model(tiny_captioner, "tiny", tmp_path / "file" / "out")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cell"), [("attention", "lstm"), ("pooled", "gru")])
def test_the_weights_of_recurrent_layers_are_found(kind: DecoderKind, cell: Cell, tmp_path: Path) -> None:
    captioner = load(save_model(tmp_path / "model", kind, cell))
    context, _, _ = write_graphs(captioner, tmp_path)
    step = onnx.load(tmp_path / "step.onnx")
    left = _outside_recurrence(step, context)
    products = {node.name for node in step.graph.node if node.op_type in ("MatMul", "Gemm")}
    assert len(products - set(left)) == 2  # of the inputs, and of the hidden state
