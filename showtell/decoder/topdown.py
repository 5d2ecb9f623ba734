"""Two recurrent layers around attention (after Anderson et al. 2018), trained on all time steps at once.

The attended image is not fed back into the first layer. So under teacher forcing both layers run over whole
sequences, in one fused call each, and attention answers all queries of an image's captions at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from showtell.config import DecoderConfig
from showtell.decoder.base import (
    Packing,
    RNNDecoder,
    make_rnn,
    rnn_step,
    run_rnn,
    zero_recurrent,
)
from showtell.decoder.state import SearchState, StepOutput
from showtell.utils.devices import to_device


class TopDownDecoder(RNNDecoder):
    """Words and the mean image -> first layer -> attention over the grid -> second layer -> words."""

    def __init__(self, vocab_size: int, feature_dim: int, grid_cells: int, config: DecoderConfig) -> None:
        super().__init__(vocab_size, feature_dim, grid_cells, config)
        embedding, hidden, attention = config.embedding_dim, config.hidden_dim, config.attention_dim
        self.grid = nn.Linear(feature_dim, attention)
        self.position = nn.Parameter(torch.zeros(grid_cells, attention))
        self.norm = nn.LayerNorm(attention)
        self.image = nn.Linear(attention, embedding)
        self.first = make_rnn(config.cell, embedding, hidden)
        self.query = nn.Linear(hidden, attention)
        self.keys = nn.Linear(attention, attention)
        self.values = nn.Linear(attention, attention)
        self.attended = nn.Linear(attention, hidden)
        self.second = make_rnn(config.cell, hidden, hidden)
        self.output = nn.Linear(hidden, embedding)

    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """See `RNNDecoder.forward`."""
        image, keys, values = self._image_context(features)
        device, count = features.device, len(captions)
        packing = Packing.of(lengths - 1, device)
        slots, captions_per_image = caption_slots(image_index.cpu(), len(keys))
        table = to_device(torch.stack([image_index.cpu(), slots]), device)
        image_of_row, slot_of_row = table[:, packing.sequence]  # (P,) each
        words = self.embed(captions[packing.sequence, packing.step])  # (P, E)
        words = words + image.squeeze(1).index_select(0, image_of_row)
        words = self.dropout(words, packing.sequence, count)
        first = run_rnn(self.first, PackedSequence(words, packing.batch_sizes))
        hidden = self.dropout(first, packing.sequence, count)  # (P, H)
        steps = len(packing.batch_sizes)
        indices = slot_of_row * steps + packing.step  # (P,), in a table of images x captions x steps
        attended = self._attend_at(self.query(hidden), indices, captions_per_image * steps, keys, values)
        attended = self.attended(attended)  # (P, H)
        second = run_rnn(self.second, PackedSequence(hidden + attended, packing.batch_sizes))
        output = torch.tanh(self.output(second + attended))
        return self.dropout(output, packing.sequence, count)  # (P, E)

    def init_state(self, features: Tensor) -> SearchState:
        """See `RNNDecoder.init_state`."""
        context = self._image_context(features)
        zeros = (*zero_recurrent(self.first, context[0]), *zero_recurrent(self.second, context[0]))
        return SearchState(context, zeros)

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """See `RNNDecoder.step`."""
        image, keys, values = state.context
        half = len(state.recurrent) // 2
        words = self.embed(tokens) + image
        first = rnn_step(self.first, words, state.recurrent[:half])
        attended, weights = attend(self._split_heads(self.query(first[0])), keys, values)
        attended = self.attended(self._merge_heads(attended))  # (B, K, H)
        second = rnn_step(self.second, first[0] + attended, state.recurrent[half:])
        logits = self.logits(torch.tanh(self.output(second[0] + attended)))
        return StepOutput(logits, SearchState(state.context, (*first, *second)), weights.mean(dim=1))

    def _image_context(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, R, D) -> image (B, 1, E), scaled keys and values (B, heads, R, A / heads)."""
        mean, keys, values = self._mean_keys_values(features)
        return self.image(mean), keys, values

    def _mean_keys_values(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, R, D) -> mean of the grid (B, 1, A), scaled keys and values (B, heads, R, A / heads)."""
        grid = self.norm(self.grid(features) + self.position)  # (B, R, A)
        images, cells = grid.shape[:2]
        image_of_cell = torch.arange(images, device=grid.device).repeat_interleave(cells)
        grid = self.dropout(grid.flatten(0, 1), image_of_cell, images).view_as(grid)
        mean = grid.mean(dim=1, keepdim=True)
        keys = self.keys(grid) / (self.config.attention_dim // self.config.attention_heads) ** 0.5
        return mean, self._split_heads(keys), self._split_heads(self.values(grid))

    def _attend_at(
        self, queries: Tensor, indices: Tensor, queries_per_image: int, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Attended image (P, A) of each query (P, A); the queries of one image share its keys.

        Args:
            queries: (P, A).
            indices: (P,) where each query stands in a table of images x queries.
            queries_per_image: columns of the table.
            keys: (B, heads, R, A / heads).
            values: (B, heads, R, A / heads).
        """
        table = queries.new_zeros(len(keys) * queries_per_image, queries.shape[1])
        table = table.index_copy(0, indices, queries).view(len(keys), queries_per_image, -1)
        attended, _ = attend(self._split_heads(table), keys, values)
        return self._merge_heads(attended).flatten(0, 1).index_select(0, indices)

    def _split_heads(self, tensor: Tensor) -> Tensor:
        """(B, L, A) -> (B, heads, L, A / heads)."""
        batch, length = tensor.shape[:2]
        return tensor.view(batch, length, self.config.attention_heads, -1).transpose(1, 2)

    def _merge_heads(self, tensor: Tensor) -> Tensor:
        """(B, heads, L, A / heads) -> (B, L, A)."""
        return tensor.transpose(1, 2).flatten(2)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Dot-product attention (Vaswani et al. 2017) over keys that are scaled already.

    Written out, because the weights are wanted, and because over 49 keys the fused kernel's backward pass is
    the slower one.

    Args:
        queries: (B, heads, L, A / heads).
        keys: (B, heads, R, A / heads), divided by the root of A / heads.
        values: (B, heads, R, A / heads).

    Returns:
        Attended values (B, heads, L, A / heads), and weights (B, heads, L, R) that sum to 1.
    """
    scores = queries @ keys.transpose(2, 3)
    weights = scores.softmax(dim=3, dtype=torch.float32)
    return weights.to(values.dtype) @ values, weights


def caption_slots(image_index: Tensor, images: int) -> tuple[Tensor, int]:
    """Where each caption stands in a table of images x captions.

    Args:
        image_index: (N,) the image of each caption, in any order.
        images: B.

    Returns:
        Slots (N,), image * C + (how many captions of this image came before), and C, the most captions of
        an image.
    """
    order = torch.argsort(image_index, stable=True)
    counts = torch.bincount(image_index, minlength=images)
    first = counts.cumsum(0) - counts  # where each image begins in the sorted order
    rank = torch.empty_like(image_index)
    rank[order] = torch.arange(len(image_index), device=image_index.device) - first[image_index[order]]
    most = int(counts.max())
    return image_index * most + rank, most
