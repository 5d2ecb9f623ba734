"""A captioner as three ONNX graphs: encoder, start of a caption, one step."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.decoder import SearchState, StepDecoder
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.resnet import ResNet
from showtell.errors import ModelError

TOP_K: Final = 16
"""Number of top tokens that a step returns: enough for a beam of 6."""

_DYNAMIC: Final = torch.export.Dim.DYNAMIC


class EncoderGraph(nn.Module):
    """Pixels (B, H, W, 3) uint8 -> features (B, R, D)."""

    def __init__(self, encoder: CNNEncoder) -> None:
        super().__init__()
        self.network = encoder.backbone.folded()
        self.side = encoder.grid_side
        transform = encoder.transform
        self.mean = nn.Buffer(255 * torch.tensor(transform.mean))
        self.scale = nn.Buffer(1 / (255 * torch.tensor(transform.std)))

    def forward(self, pixels: Tensor) -> Tensor:
        """See `CNNEncoder.forward`; the normalisation is part of the graph."""
        images = (pixels.float() - self.mean) * self.scale
        grid = self.network(images.permute(0, 3, 1, 2))
        grid = F.interpolate(grid, (self.side, self.side), mode="bilinear")
        return grid.flatten(2).transpose(1, 2)


class StartGraph(nn.Module):
    """Features (B, R, D) -> context and recurrent state, one after the other."""

    def __init__(self, decoder: StepDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """See `StepDecoder.init_state`."""
        state = self.decoder.init_state(features)
        return (*state.context, *state.recurrent)


class StepGraph(nn.Module):
    """Tokens (B, K), context and recurrent state -> the most likely words, and what is needed of the others.

    Its outputs: logits of the most likely words (B, K, C), best first, and their ids; logits of all words
    (B, K, V); the logarithm of the sum of their exponentials (B, K, 1); with attention, its weights over the
    grid (B, K, R); the new recurrent state.
    """

    def __init__(self, decoder: StepDecoder, context: int, top: int) -> None:
        super().__init__()
        self.decoder, self.context, self.top = decoder, context, top

    def forward(self, tokens: Tensor, state_tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """See `StepDecoder.step`."""
        state = SearchState(tuple(state_tensors[: self.context]), tuple(state_tensors[self.context :]))
        output = self.decoder.step(tokens, state)
        logits = output.logits
        best = logits.topk(self.top, dim=2)
        highest = best.values[:, :, :1]
        total = highest + (logits - highest).exp().sum(dim=2, keepdim=True).log()
        attention = () if output.attention is None else (output.attention,)
        return (best.values, best.indices, logits, total, *attention, *output.state.recurrent)


def write_graphs(captioner: Captioner, folder: Path) -> tuple[int, int, int]:
    """Write encoder.onnx, start.onnx and step.onnx, in fp32, for any number of images of any proportions.

    Returns:
        Number of tensors of the context, of the recurrent state, and of words whose logits a step returns.

    Raises:
        ModelError: the encoder is no ResNet.
    """
    encoder = captioner.encoder
    size = encoder.transform.size
    if not isinstance(encoder.backbone, ResNet):
        raise ModelError("only models with a ResNet can be exported as graphs; run this one in PyTorch")
    stride = encoder.backbone.settings.stride
    pixels = torch.zeros(2, size + stride, max(stride, size - stride), 3, dtype=torch.uint8)
    with torch.no_grad(), _quiet():
        _write(
            EncoderGraph(encoder),
            (pixels,),
            ({0: _DYNAMIC, 1: _DYNAMIC, 2: _DYNAMIC},),
            folder / "encoder.onnx",
        )
    return write_decoder_graphs(captioner, captioner.decoder.float().eval(), folder)


def write_decoder_graphs(captioner: Captioner, decoder: StepDecoder, folder: Path) -> tuple[int, int, int]:
    """Write start.onnx and step.onnx, in fp32, for any number of images and hypotheses.

    Args:
        captioner: the model, which gives the sizes of the features and of the vocabulary.
        decoder: its decoder, or one that computes the same; on the CPU, in fp32 and in evaluation mode.
        folder: the folder of the graphs.

    Returns:
        Number of tensors of the context, of the recurrent state, and of words whose logits a step returns.
    """
    features = torch.zeros(2, captioner.encoder.grid_cells, captioner.encoder.feature_dim)
    with torch.no_grad(), _quiet():
        state = decoder.init_state(features)
        context, recurrent = list(state.context), [m.expand(-1, 3, *m.shape[2:]) for m in state.recurrent]
        top = min(TOP_K, len(captioner.vocabulary))
        tokens = torch.zeros(2, 3, dtype=torch.long)
        images = {0: _DYNAMIC}
        hypotheses = {0: _DYNAMIC, 1: _DYNAMIC}
        _write(StartGraph(decoder), (features,), (images,), folder / "start.onnx")
        _write(
            StepGraph(decoder, len(context), top),
            (tokens, context + recurrent),
            (hypotheses, [images] * len(context) + [hypotheses] * len(recurrent)),
            folder / "step.onnx",
        )
    return len(context), len(recurrent), top


def _write(graph: nn.Module, inputs: tuple[Any, ...], shapes: tuple[Any, ...], path: Path) -> None:
    torch.onnx.export(
        graph.eval(), inputs, path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own parts from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
