"""Show and Tell (Vinyals et al. 2015): the pooled image is the first input of a recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from showtell.config import DecoderConfig
from showtell.decoder.base import RNNDecoder, caption_rows, make_rnn, pack, rnn_step, run_rnn, zero_memory
from showtell.decoder.state import SearchState, StepOutput


class PooledDecoder(RNNDecoder):
    """The image is seen once, pooled to (B, D), before the first word."""

    attends = False

    def __init__(self, vocab_size: int, feature_dim: int, grid_cells: int, config: DecoderConfig) -> None:
        super().__init__(vocab_size, feature_dim, grid_cells, config)
        self.image = nn.Linear(feature_dim, config.embedding_dim)
        self.rnn = make_rnn(config.cell, config.embedding_dim, config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, config.embedding_dim)

    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """See `RNNDecoder.forward`."""
        image = self.image(features.mean(dim=1))[image_index].unsqueeze(1)  # (N, 1, E)
        inputs = pack(torch.cat([image, self.embed(captions[:, :-1])], dim=1), lengths)
        rows = caption_rows(lengths, captions.device)
        dropped = PackedSequence(self.dropout(inputs.data, rows, len(captions)), inputs.batch_sizes)
        outputs = run_rnn(self.rnn, dropped)
        # What is known after the image alone comes before <start>: the first N packed rows.
        hidden = torch.tanh(self.output(outputs[len(captions) :]))
        return self.dropout(hidden, rows[len(captions) :], len(captions))  # (P, E)

    def init_state(self, features: Tensor) -> SearchState:
        """See `RNNDecoder.init_state`."""
        image = self.image(features.mean(dim=1, keepdim=True))  # (B, 1, E)
        return SearchState((), rnn_step(self.rnn, image, zero_memory(self.rnn, image)))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """See `RNNDecoder.step`."""
        memory = rnn_step(self.rnn, self.embed(tokens), state.memory)
        return StepOutput(self.logits(torch.tanh(self.output(memory[0]))), SearchState((), memory), None)
