"""Graphs in int8: NNCF's post-training quantisation, calibrated on photos.

Weights have a scale a channel, activations a scale a tensor (Nagel et al. 2021, arXiv:2106.08295). What pays
is the encoder, and in OpenVINO the recurrent layers of the step; the start of a caption in int8 costs more
CIDEr than it saves time, and a step in int8 is slower in ONNX Runtime. NNCF finds no biases to correct in
OpenVINO's reading of an ONNX graph; with their constants folded it does, and captions are no better.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import nncf
import numpy as np
import onnx
import openvino

from showtell.captioning.base import Pixels
from showtell.runtime.sessions import Array, OnnxSession, openvino_core

_SAID: Final = 48
"""Photos that are captioned to see what a decoder takes."""
_STEPS: Final = 12
_START_TOKEN: Final = 1

Inputs = list[Array]


def quantize_graphs(folder: Path, pixels: Sequence[Pixels], context: int) -> None:
    """Write encoder.xml and step.xml (and .bin) in int8 for OpenVINO; replace encoder.onnx by such.

    Args:
        folder: with encoder.onnx, start.onnx and step.onnx in fp32.
        pixels: images (H, W, 3) uint8 to calibrate on.
        context: tensors of the context.
    """
    nncf.set_log_level(logging.ERROR)
    shown = [[image[None]] for image in pixels]
    steps = _steps_of(folder, shown[:_SAID], context)
    encoder, step = folder / "encoder.onnx", folder / "step.onnx"
    _quantize_for_openvino(encoder, shown)
    _quantize_for_openvino(step, steps, left=_outside_recurrence(onnx.load(step), context))
    model = onnx.load(encoder)
    quantized: Any = nncf.quantize(model, _named(shown, model), subset_size=len(shown))
    onnx.save(quantized, encoder)


def _quantize_for_openvino(path: Path, samples: Sequence[Inputs], left: Sequence[str] = ()) -> None:
    """Write `path`.xml and .bin; the operations `left` stay as they are."""
    scope = nncf.IgnoredScope(names=list(left), validate=False)
    quantized: Any = nncf.quantize(
        openvino_core().read_model(path),
        _named(samples, onnx.load(path)),
        subset_size=len(samples),
        ignored_scope=scope,
    )
    openvino.save_model(quantized, path.with_suffix(".xml"), compress_to_fp16=False)


def _named(samples: Sequence[Inputs], model: onnx.ModelProto) -> nncf.Dataset:
    names = [node.name for node in model.graph.input]
    return nncf.Dataset(samples, lambda inputs: dict(zip(names, inputs, strict=True)))


def _steps_of(folder: Path, shown: Sequence[Inputs], context: int) -> list[Inputs]:
    """Inputs of the step graph during greedy search over these images."""
    encoder, start, step = (OnnxSession(folder / f"{name}.onnx") for name in ("encoder", "start", "step"))
    steps: list[Inputs] = []
    for inputs in shown:
        remembered = start.run(encoder.run(inputs))
        tokens = np.full((1, 1), _START_TOKEN, np.int64)
        for _ in range(_STEPS):
            steps.append([tokens, *remembered])
            outputs = step.run(steps[-1])
            tokens = outputs[1][:, :, 0].astype(np.int64)  # not the long long of ONNX Runtime
            remembered = [*remembered[:context], *outputs[-(len(remembered) - context) :]]
    return steps


def _outside_recurrence(model: onnx.ModelProto, context: int) -> list[str]:
    """The products of a step that stay as they are: all without a recurrent layer's weights (inputs x gates).

    These others are few, and cost more CIDEr than time.
    """
    units = {given.type.tensor_type.shape.dim[-1].dim_value for given in model.graph.input[1 + context :]}
    widths = {gates * size for size in units for gates in (3, 4)}  # of a GRU, of an LSTM
    weights = {w.name for w in model.graph.initializer if len(w.dims) == 2 and w.dims[1] in widths}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and not weights & set(node.input)
    ]
