"""Graphs in int8: NNCF's post-training quantisation, calibrated on photos.

Weights are quantised per channel, activations per tensor (Nagel et al. 2021, arXiv:2106.08295). Quantised
are the encoder and, for OpenVINO, the recurrent layers and the output vocabulary of the step. The start graph
loses more CIDEr than it saves time; an int8 step is slower in ONNX Runtime. Bias correction was tried and did
not improve captions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import nncf
import numpy as np
import onnx
import openvino

from showtell.captioning.base import Pixels
from showtell.captioning.captioner import Captioner
from showtell.decoder import for_search
from showtell.exporting.graphs import write_decoder_graphs
from showtell.runtime.openvino_graphs import openvino_core
from showtell.runtime.sessions import Array, OnnxSession

_CALIBRATION_CAPTIONS: Final = 48
"""Photos that are captioned to see what a decoder takes."""
_CALIBRATION_STEPS: Final = 12
_START_TOKEN: Final = 1

Inputs = list[Array]


def quantize_graphs(folder: Path, captioner: Captioner, pixels: Sequence[Pixels]) -> None:
    """Write encoder, start and step (.xml and .bin) for OpenVINO, and replace encoder.onnx by one in int8.

    OpenVINO's graphs have the decoder that PyTorch searches with (`for_search`): the embeddings of all words
    are multiplied by the first layer's weights here, not at every step. In int8 this table takes 4 H bytes
    per word; in fp32 it would double the size of step.onnx, which is therefore without it. The weights of
    start.xml are in fp16.

    Args:
        folder: with encoder.onnx in fp32.
        captioner: the model; on the CPU, its decoder in fp32.
        pixels: images (H, W, 3) uint8 to calibrate on.
    """
    nncf.set_log_level(logging.ERROR)
    images = [[image[None]] for image in pixels]
    encoder = folder / "encoder.onnx"
    with TemporaryDirectory() as made:
        start, step = Path(made) / "start.onnx", Path(made) / "step.onnx"
        context, _, _ = write_decoder_graphs(captioner, for_search(captioner.decoder.eval()), Path(made))
        steps = _steps_of(encoder, start, step, images[:_CALIBRATION_CAPTIONS], context)
        left = _left_in_floats(onnx.load(step), context, len(captioner.vocabulary))
        openvino.save_model(openvino_core().read_model(start), folder / "start.xml")
        _quantize_for_openvino(step, folder, steps, left)
    _quantize_for_openvino(encoder, folder, images)
    model = onnx.load(encoder)
    quantized: Any = nncf.quantize(model, _named(images, model), subset_size=len(images))
    onnx.save(quantized, encoder)


def _quantize_for_openvino(
    path: Path, folder: Path, samples: Sequence[Inputs], left: Sequence[str] = ()
) -> None:
    """Write the graph `path` to `folder` as .xml and .bin; the operations `left` stay as they are."""
    scope = nncf.IgnoredScope(names=list(left), validate=False)
    quantized: Any = nncf.quantize(
        openvino_core().read_model(path),
        _named(samples, onnx.load(path)),
        subset_size=len(samples),
        ignored_scope=scope,
    )
    openvino.save_model(quantized, folder / f"{path.stem}.xml", compress_to_fp16=False)


def _named(samples: Sequence[Inputs], model: onnx.ModelProto) -> nncf.Dataset:
    names = [node.name for node in model.graph.input]
    return nncf.Dataset(samples, lambda inputs: dict(zip(names, inputs, strict=True)))


def _steps_of(
    encoder_path: Path, start_path: Path, step_path: Path, images: Sequence[Inputs], context: int
) -> list[Inputs]:
    """Inputs of the step graph during greedy search over these images."""
    encoder, start, step = (OnnxSession(path) for path in (encoder_path, start_path, step_path))
    steps: list[Inputs] = []
    for inputs in images:
        state_tensors = start.run(encoder.run(inputs))
        tokens = np.full((1, 1), _START_TOKEN, np.int64)
        for _ in range(_CALIBRATION_STEPS):
            steps.append([tokens, *state_tensors])
            outputs = step.run(steps[-1])
            tokens = outputs[1][:, :, 0].astype(np.int64)  # not the long long of ONNX Runtime
            state_tensors = [*state_tensors[:context], *outputs[-(len(state_tensors) - context) :]]
    return steps


def _left_in_floats(model: onnx.ModelProto, context: int, words: int) -> list[str]:
    """The products of a step that are not quantised.

    Those with the weights of a recurrent layer (inputs x gates) or of the vocabulary (embedding x words) are;
    the others are small, and would cost more CIDEr than they save time.

    Args:
        model: the step graph.
        context: tensors of the context.
        words: size of the vocabulary.
    """
    units = {given.type.tensor_type.shape.dim[-1].dim_value for given in model.graph.input[1 + context :]}
    widths = {gates * size for size in units for gates in (3, 4)} | {words}  # of a GRU, of an LSTM
    weights = {w.name for w in model.graph.initializer if len(w.dims) == 2 and w.dims[1] in widths}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and not weights & set(node.input)
    ]
