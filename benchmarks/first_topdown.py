"""The first version of `topdown`, kept to compare with: torch's own LSTM over whole packed sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from showtell.decoder.base import caption_rows, pack
from showtell.decoder.topdown import TopDownDecoder


class FirstTopDown(TopDownDecoder):
    """The same weights and outputs; the two LSTM layers are single calls of torch's."""

    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """See `RNNDecoder.forward`."""
        image, keys, values = self._image_context(features)
        tokens = pack(captions[:, :-1], lengths - 1)
        rows = caption_rows(lengths - 1, captions.device)
        words = self.embed(tokens.data) + image.squeeze(1)[image_index[rows]]
        words = self.dropout(words, rows, len(captions))
        first, _ = self.first(PackedSequence(words, tokens.batch_sizes))
        hidden = self.dropout(first.data, rows, len(captions))
        queries = PackedSequence(self.query(hidden), tokens.batch_sizes)
        attended = self.attended(self._attend_packed(queries, keys, values, image_index))
        second, _ = self.second(PackedSequence(hidden + attended, tokens.batch_sizes))
        output = torch.tanh(self.output(second.data + attended))
        return self.dropout(output, rows, len(captions))
