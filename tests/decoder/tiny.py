"""Small decoders and batches that the tests of all decoders share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from showtell.config import DecoderConfig
from showtell.decoder import RNNDecoder, make_decoder

VOCABULARY, FEATURES, CELLS = 15, 6, 4


PAD, START, END, UNK = range(4)


KINDS = ["pooled", "attention", "topdown"]


def each_decoder(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with every kind of decoder and every cell."""
    return pytest.mark.parametrize("kind", KINDS)(pytest.mark.parametrize("cell", ["lstm", "gru"])(test))


def tiny(kind: str, cell: str, dropout: float = 0.5) -> RNNDecoder:
    """A decoder in evaluation mode whose every parameter matters."""
    torch.manual_seed(0)
    config = DecoderConfig(
        kind=kind,
        cell=cell,
        embedding_dim=8,
        hidden_dim=10,
        attention_dim=12,
        attention_heads=3,
        dropout=dropout,
    )
    decoder = make_decoder(config, vocab_size=VOCABULARY, feature_dim=FEATURES, grid_cells=CELLS).eval()
    for parameter in decoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return decoder


def batch_of(captions: list[list[int]], images: list[int], padding: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Captions (N, T), lengths (N,) and image_index (N,) of captions that are sorted."""
    table = torch.full((len(captions), len(captions[0]) + padding), PAD)
    for row, caption in enumerate(captions):
        table[row, : len(caption)] = torch.tensor(caption)
    return table, torch.tensor([len(caption) for caption in captions]), torch.tensor(images)


def unpack(packed: Tensor, lengths: list[int]) -> list[Tensor]:
    """The rows of each caption, of (P, ...) in packed order."""
    rows = iter(packed)
    parts: list[list[Tensor]] = [[] for _ in lengths]
    for position in range(lengths[0] - 1):
        for caption, length in enumerate(lengths):
            if position < length - 1:
                parts[caption].append(next(rows))
    assert next(rows, None) is None
    return [torch.stack(caption) for caption in parts]


def some_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    captions = [[START, 4, 5, 6, 7, END], [START, 9, 8, 10, END], [START, 4, 11, END], [START, 12, 13, END]]
    return torch.randn(3, CELLS, FEATURES), *batch_of(captions, [2, 0, 2, 1])
