"""Show, Attend and Tell (Xu et al. 2015): soft attention at each step, fed back into the recurrent cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.config import DecoderConfig
from showtell.decoder.base import Packing, RNNDecoder, make_rnn, rnn_step
from showtell.decoder.state import SearchState, StepOutput
from showtell.utils.devices import to_device


class AttentionDecoder(RNNDecoder):
    """Additive attention over the grid, gated (beta of the paper); words are chosen step by step."""

    def __init__(self, vocab_size: int, feature_dim: int, grid_cells: int, config: DecoderConfig) -> None:
        super().__init__(vocab_size, feature_dim, grid_cells, config)
        hidden, attention = config.hidden_dim, config.attention_dim
        self.keys = nn.Linear(feature_dim, attention)
        self.query = nn.Linear(hidden, attention)
        self.energy = nn.Linear(attention, 1)
        self.gate = nn.Linear(hidden, 1)
        self.init_memory = nn.Linear(feature_dim, hidden * (2 if config.cell == "lstm" else 1))
        self.rnn = make_rnn(config.cell, config.embedding_dim + feature_dim, hidden)
        self.output = nn.Linear(hidden + feature_dim, config.embedding_dim)

    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """See `RNNDecoder.forward`."""
        start = self.init_state(features)
        rows = to_device(image_index, features.device)
        # One hypothesis per caption: the layout of search with B = N and K = 1.
        context = tuple(t.index_select(0, rows) for t in start.context)
        recurrent = tuple(t.index_select(0, rows) for t in start.recurrent)
        outputs = []
        packing = Packing.of(lengths - 1, features.device)
        # Captions that have ended leave the batch.
        for position, count in enumerate(packing.batch_sizes.tolist()):
            context = tuple(t[:count] for t in context)
            recurrent = tuple(t[:count] for t in recurrent)
            words = self.embed(captions[:count, position : position + 1])
            both, recurrent, _ = self._attend_and_step(words, context, recurrent)
            outputs.append(both.squeeze(1))
        output = torch.tanh(self.output(torch.cat(outputs)))  # (P, E), time-major: the packed order
        return self.dropout(output, packing.sequence, len(captions))

    def init_state(self, features: Tensor) -> SearchState:
        """See `RNNDecoder.init_state`."""
        recurrent = torch.tanh(self.init_memory(features.mean(dim=1, keepdim=True)))  # (B, 1, H or 2 H)
        return SearchState(
            (features, self.keys(features)), tuple(recurrent.split(self.config.hidden_dim, dim=2))
        )

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """See `RNNDecoder.step`."""
        both, recurrent, weights = self._attend_and_step(self.embed(tokens), state.context, state.recurrent)
        logits = self.logits(torch.tanh(self.output(both)))
        return StepOutput(logits, SearchState(state.context, recurrent), weights)

    def _attend_and_step(
        self, words: Tensor, context: tuple[Tensor, ...], recurrent: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """`words` (B, K, E) -> output (B, K, H + D), new recurrent state, attention (B, K, R)."""
        grid, keys = context  # (B, R, D), (B, R, A)
        query = self.query(recurrent[0]).unsqueeze(2)  # (B, K, 1, A)
        energies = self.energy(torch.tanh(keys.unsqueeze(1) + query)).squeeze(3)  # (B, K, R)
        weights = energies.float().softmax(dim=2)
        attended = torch.sigmoid(self.gate(recurrent[0])) * (weights.to(grid.dtype) @ grid)  # (B, K, D)
        recurrent = rnn_step(self.rnn, torch.cat([words, attended], dim=2), recurrent)
        return torch.cat([recurrent[0], attended], dim=2), recurrent, weights
