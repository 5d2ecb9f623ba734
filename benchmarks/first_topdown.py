"""The first version of `topdown`, kept to compare with: torch's own LSTM over whole packed sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from showtell.decoder.base import Packing
from showtell.decoder.topdown import TopDownDecoder, attend, caption_slots


class FirstTopDown(TopDownDecoder):
    """The same weights and outputs; the two LSTM layers are single calls of torch's."""

    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """See `RNNDecoder.forward`."""
        image, keys, values = self._image_context(features)
        tokens = pack_padded_sequence(captions[:, :-1], lengths - 1, batch_first=True)
        rows = Packing.of(lengths - 1, captions.device).sequence
        words = self.embed(tokens.data) + image.squeeze(1)[image_index[rows]]
        words = self.dropout(words, rows, len(captions))
        first, _ = self.first(PackedSequence(words, tokens.batch_sizes))
        hidden = self.dropout(first.data, rows, len(captions))
        queries = PackedSequence(self.query(hidden), tokens.batch_sizes)
        attended = self.attended(self._attend_packed(queries, keys, values, image_index))
        second, _ = self.second(PackedSequence(hidden + attended, tokens.batch_sizes))
        output = torch.tanh(self.output(second.data + attended))
        return self.dropout(output, rows, len(captions))

    def _attend_packed(
        self, queries: PackedSequence, keys: Tensor, values: Tensor, image_index: Tensor
    ) -> Tensor:
        padded, lengths = pad_packed_sequence(queries, batch_first=True)  # (N, T, A)
        slots, captions_per_image = caption_slots(image_index, len(keys))
        steps = padded.shape[1]
        table = padded.new_zeros(len(keys) * captions_per_image, *padded.shape[1:])
        table = table.index_copy(0, slots, padded).view(len(keys), captions_per_image * steps, -1)
        attended, _ = attend(self._split_heads(table), keys, values)  # over (B, C T, A)
        attended = self._merge_heads(attended).view(len(keys) * captions_per_image, steps, -1)
        return pack_padded_sequence(attended.index_select(0, slots), lengths, batch_first=True).data
