"""The interface of the decoders, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from showtell.config import Cell, DecoderConfig
from showtell.decoder.packed_lstm import lstm_update, packed_lstm
from showtell.decoder.state import SearchState, StepOutput
from showtell.errors import ModelError
from showtell.utils.devices import to_device


class LockedDropout(nn.Module):
    """Dropout with one mask for all rows of a group: all steps of a caption, all cells of an image.

    After Gal & Ghahramani (2016, arXiv:1512.05287). It also costs a tenth of a mask for each row: drawing
    random numbers is slow on a CPU.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, rows: Tensor, group_of_row: Tensor, groups: int) -> Tensor:
        """Drop the same units of all `rows` (P, H) of a group; `group_of_row` (P,) counts from 0."""
        if not self.training or self.probability == 0:
            return rows
        keep = 1 - self.probability
        mask = rows.new_empty(groups, rows.shape[1]).bernoulli_(keep).div_(keep)
        return rows * mask.index_select(0, group_of_row)


class StepDecoder(nn.Module, ABC):
    """The interface that search requires of a decoder: image features and previous tokens -> the next token.

    B images, R grid cells, D features per cell, K hypotheses per image, V words.

    Attributes:
        has_attention: whether it returns attention weights.
        train_calls: how often it was put in training mode.
    """

    has_attention: bool = True
    train_calls: int = 0

    def train(self, mode: bool = True) -> Self:
        """See `nn.Module.train`."""
        self.train_calls += mode
        return super().train(mode)

    @abstractmethod
    def init_state(self, features: Tensor) -> SearchState:
        """The state before the first word, with one hypothesis per image.

        Args:
            features: (B, R, D).
        """

    @abstractmethod
    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """Logits (B, K, V) of the words after `tokens` (B, K)."""


class RNNDecoder(StepDecoder):
    """A recurrent decoder that can be trained.

    B images, R grid cells, D features per cell, N captions, T tokens, K hypotheses per image, V words.

    Args:
        vocab_size: V.
        feature_dim: D.
        grid_cells: R.
        config: sizes and dropout.
    """

    def __init__(self, vocab_size: int, feature_dim: int, grid_cells: int, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.vocab_size, self.feature_dim, self.grid_cells = vocab_size, feature_dim, grid_cells
        self.embedding = nn.Embedding(vocab_size, config.embedding_dim)
        nn.init.normal_(self.embedding.weight, std=config.embedding_dim**-0.5)
        self.word_bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = LockedDropout(config.dropout)

    @abstractmethod
    def forward(self, features: Tensor, captions: Tensor, lengths: Tensor, image_index: Tensor) -> Tensor:
        """Hidden states that predict each next token under teacher forcing; pass them to `logits`.

        Args:
            features: (B, R, D).
            captions: (N, T) token ids with start and end, padded, longest first.
            lengths: (N,) tokens of each caption, on the CPU.
            image_index: (N,) the image of each caption, on the CPU (on a GPU it costs a synchronisation).

        Returns:
            Hidden states (P, E) in the order of `packed_targets`: padding is left out.
        """

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., E) of `tokens` (...), of about unit variance (as Vaswani et al. 2017, 3.4)."""
        return self.embedding(tokens) * self.config.embedding_dim**0.5

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of `hidden` (..., E), by the embedding of the words (Press & Wolf 2017).

        Not to be overridden: the losses of training compute these products in parts.
        """
        return nn.functional.linear(hidden, self.embedding.weight, self.word_bias)


def single_decoder(decoder: StepDecoder) -> RNNDecoder:
    """A decoder that is no ensemble, as such.

    Raises:
        ModelError: it is an ensemble.
    """
    if not isinstance(decoder, RNNDecoder):
        raise ModelError("an ensemble cannot be trained or published as one model: take one of its members")
    return decoder


def make_rnn(cell: Cell, input_dim: int, hidden_dim: int) -> nn.LSTM | nn.GRU:
    """A one-layer recurrent network over (N, T, input_dim)."""
    rnn_class = nn.LSTM if cell == "lstm" else nn.GRU
    return rnn_class(input_dim, hidden_dim, batch_first=True)


def run_rnn(rnn: nn.LSTM | nn.GRU, inputs: PackedSequence) -> Tensor:
    """Outputs (P, H) of `rnn` over packed sequences (P, input_dim); an LSTM on the CPU is written out."""
    if isinstance(rnn, nn.GRU) or inputs.data.device.type != "cpu":
        return rnn(inputs)[0].data
    of_inputs, of_hidden, bias, second_bias = rnn.all_weights[0]
    gates = nn.functional.linear(inputs.data, of_inputs, bias + second_bias)  # (P, 4 H)
    return packed_lstm(gates, of_hidden.to(gates.dtype), inputs.batch_sizes)


def rnn_step(rnn: nn.LSTM | nn.GRU, inputs: Tensor, recurrent: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step of `rnn` in the layout of search, written out: a call of torch's own costs several times that.

    Args:
        rnn: made by `make_rnn`.
        inputs: (B, K, input_dim).
        recurrent: the state before: (hidden,) of a GRU, (hidden, cell) of an LSTM, each (B, K, H).

    Returns:
        The new recurrent state; its first tensor is the output.
    """
    of_inputs, of_hidden, bias, second_bias = rnn.all_weights[0]
    if isinstance(rnn, nn.LSTM):
        hidden, cell = recurrent
        gates = nn.functional.linear(inputs, of_inputs, bias + second_bias)
        return lstm_update(gates + nn.functional.linear(hidden, of_hidden), cell)
    (hidden,) = recurrent
    entered = nn.functional.linear(inputs, of_inputs, bias).chunk(3, dim=-1)
    kept = nn.functional.linear(hidden, of_hidden, second_bias).chunk(3, dim=-1)
    reset, update = ((e + k).sigmoid() for e, k in zip(entered[:2], kept[:2], strict=True))
    new = torch.tanh(entered[2] + reset * kept[2])
    return (torch.lerp(new, hidden.to(new.dtype), update),)


def zero_recurrent(rnn: nn.LSTM | nn.GRU, like: Tensor) -> tuple[Tensor, ...]:
    """Zero recurrent state (B, 1, H), one hypothesis per image of `like` (B, ...)."""
    count = 2 if isinstance(rnn, nn.LSTM) else 1
    return tuple(like.new_zeros(like.shape[0], 1, rnn.hidden_size) for _ in range(count))


class Packing(NamedTuple):
    """Where the tokens of N padded sequences stand in the packed (time-major) order of torch.

    `sequences[packing.sequence, packing.step]` is the data of the `PackedSequence`: one gather, while
    `pack_padded_sequence` copies each step on its own.

    Attributes:
        sequence: (P,) the sequence of each packed row.
        step: (P,) its place in that sequence.
        batch_sizes: (T,) sequences that run at each step, on the CPU.
    """

    sequence: Tensor
    step: Tensor
    batch_sizes: Tensor

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device) -> Packing:
        """The packing, with indices on `device`, of sequences of `lengths` (N,) on the CPU, longest first."""
        runs = torch.arange(int(lengths[0])).unsqueeze(1) < lengths  # (T, N)
        step, sequence = to_device(runs.nonzero().t().contiguous(), device).unbind()
        return cls(sequence, step, runs.sum(dim=1))


def packed_targets(captions: Tensor, lengths: Tensor) -> Tensor:
    """The words to predict (P,): captions (N, T) without their start, in packed order."""
    packing = Packing.of(lengths - 1, captions.device)
    return captions[packing.sequence, packing.step + 1]
