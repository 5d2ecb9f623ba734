"""int8: graphs that are small and close, and the operations that stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.config import Cell, DecoderKind
from showtell.data.decode_ahead import decode_ahead
from showtell.decoder import for_search
from showtell.exporting.folder import export_model
from showtell.exporting.graphs import write_decoder_graphs, write_graphs
from showtell.exporting.quantize import _left_in_floats, _steps_of
from showtell.runtime.exported import ExportedCaptioner
from showtell.runtime.manifest import Manifest
from showtell.runtime.openvino_graphs import OpenVinoGraph
from showtell.runtime.sessions import threads
from showtell.search.interface import FloatArray
from tests.commands.test_caption import save_model


def products(step: onnx.ModelProto) -> set[str]:
    return {node.name for node in step.graph.node if node.op_type in ("MatMul", "Gemm")}


def test_the_weights_of_both_recurrent_layers_and_of_the_words_are_quantised(
    tiny_captioner: Captioner, tmp_path: Path
) -> None:
    decoder, words = for_search(tiny_captioner.decoder), len(tiny_captioner.vocabulary)
    context, _, _ = write_decoder_graphs(tiny_captioner, decoder, tmp_path)
    step = onnx.load(tmp_path / "step.onnx")
    left = set(_left_in_floats(step, context, words))
    assert left < products(step)
    widths = []
    for node in step.graph.node:
        if node.name in products(step) - left:
            (weight,) = (w for w in step.graph.initializer if w.name in node.input and len(w.dims) == 2)
            widths.append(weight.dims[1])
    hidden = 32
    assert sorted(widths) == sorted([4 * hidden, 4 * hidden, words])


def test_calibration_is_on_the_steps_of_greedy_search(
    exported: Path, tiny_captioner: Captioner, snippets: list[Path]
) -> None:
    pixels = [tiny_captioner.transform.pixels(path) for path in snippets[:2]]
    encoder, start, step = (exported / f"{name}.onnx" for name in ("encoder", "start", "step"))
    shown = [[image[None]] for image in pixels]
    steps = _steps_of(encoder, start, step, shown, Manifest.load(exported).context)
    assert len(steps) == 2 * 12
    for number, image in enumerate(pixels):
        tokens = [int(inputs[0][0, 0]) for inputs in steps[12 * number : 12 * (number + 1)]]
        expected = [tiny_captioner.vocabulary.start_id]
        with torch.inference_mode():
            state = tiny_captioner.decoder.init_state(tiny_captioner.encode_pixels([image]).float())
            while len(expected) < 12:
                output = tiny_captioner.decoder.step(torch.tensor([[expected[-1]]]), state)
                state = output.state
                expected.append(int(output.logits.argmax()))
        assert tokens == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of NNCF's own parts
def test_int8_is_small_and_close(
    tiny_captioner: Captioner,
    exported: Path,
    tmp_path: Path,
    snippets: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = [item.pixels for item in decode_ahead(snippets, tiny_captioner.transform.pixels)]
    assert all(image is not None for image in pixels)
    folder = tmp_path / "int8"
    manifest = export_model(tiny_captioner, "tiny", folder, "int8", pixels[:24])  # type: ignore[arg-type]
    assert manifest.precision == "int8"
    for graph in ("encoder", "start", "step"):
        compiled = OpenVinoGraph.of(folder / f"{graph}.xml", manifest).compiled_path(threads())
        assert {f"{graph}.xml", f"{graph}.bin", compiled.name} <= manifest.files.keys()
    folder = folder.rename(tmp_path / "moved")
    expected = tiny_captioner.encode_pixels(pixels[24:]).numpy()  # type: ignore[arg-type]
    for runtime in ("onnx", "openvino"):
        features = ExportedCaptioner(folder, runtime).encode_pixels(pixels[24:])  # type: ignore[arg-type]
        error = np.sqrt(np.mean((features - expected) ** 2) / np.mean(expected**2))
        assert 0 < error < 0.2
    assert (folder / "encoder.bin").stat().st_size < (exported / "encoder.onnx").stat().st_size / 2
    plain = ExportedCaptioner(exported, "openvino")
    monkeypatch.setattr(OpenVinoGraph, "compile", None)  # the compiled models of the export are imported
    low = ExportedCaptioner(folder, "openvino")
    ours, theirs = (first_logits(model, expected) for model in (plain, low))
    assert 0 < np.sqrt(np.mean((ours - theirs) ** 2) / np.var(ours)) < 0.2


def first_logits(model: ExportedCaptioner, features: FloatArray) -> FloatArray:
    """Of all words, after the start of a caption (B, 1, V)."""
    state_tensors = [array.copy() for array in model._start.run([features])]
    tokens = np.full((len(features), 1), model.vocabulary.start_id, np.int64)
    return np.array(model._step.run([tokens, *state_tensors])[2])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cell"), [("attention", "lstm"), ("pooled", "gru")])
def test_the_weights_of_other_decoders_are_found(kind: DecoderKind, cell: Cell, tmp_path: Path) -> None:
    captioner = Captioner.load(str(save_model(tmp_path / "model", kind, cell)), device=torch.device("cpu"))
    context, _, _ = write_graphs(captioner, tmp_path)
    step = onnx.load(tmp_path / "step.onnx")
    left = _left_in_floats(step, context, len(captioner.vocabulary))
    assert len(products(step) - set(left)) == 3  # of the inputs, of the hidden state, and of the vocabulary
