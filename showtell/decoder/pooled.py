"""Show and Tell (Vinyals et al. 2015): the pooled image is the first input of a recurrent network."""

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


class PooledDecoder(RNNDecoder):
    """The image is seen once, pooled to (B, D), before the first word."""

    has_attention = False

    def __init__(self, vocab_size: int, feature_dim: int, grid_cells: int, config: DecoderConfig) -> None:
        super().__init__(vocab_size, feature_dim, grid_cells, config)
        self.image = nn.Linear(feature_dim, config.embedding_dim)
        self.rnn = make_rnn(config.cell, config.embedding_dim, config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, config.embedding_dim)

    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """See `RNNDecoder.forward`."""
        device, count = features.device, len(captions)
        image = self.image(features.mean(dim=1)).index_select(0, to_device(image_index, device))  # (N, E)
        packing = Packing.of(lengths - 1, device)
        words = self.embed(captions[packing.sequence, packing.step])  # (P, E)
        # The image comes before <start>: in packed order the first N rows.
        rows = torch.cat([torch.arange(count, device=device), packing.sequence])
        inputs = self.dropout(torch.cat([image, words]), rows, count)
        sizes = torch.cat([torch.tensor([count]), packing.batch_sizes])
        outputs = run_rnn(self.rnn, PackedSequence(inputs, sizes))
        hidden = torch.tanh(self.output(outputs[count:]))
        return self.dropout(hidden, packing.sequence, count)  # (P, E)

    def init_state(self, features: Tensor) -> SearchState:
        """See `RNNDecoder.init_state`."""
        image = self.image(features.mean(dim=1, keepdim=True))  # (B, 1, E)
        return SearchState((), rnn_step(self.rnn, image, zero_recurrent(self.rnn, image)))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """See `RNNDecoder.step`."""
        recurrent = rnn_step(self.rnn, self.embed(tokens), state.recurrent)
        return StepOutput(
            self.logits(torch.tanh(self.output(recurrent[0]))), SearchState((), recurrent), None
        )
