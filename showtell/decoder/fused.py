"""`topdown` arranged for the steps of a search: fewer products, of weights in the layout of the processor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.decoder.base import StepDecoder, zero_recurrent
from showtell.decoder.ensemble import EnsembleDecoder
from showtell.decoder.packed_lstm import lstm_update
from showtell.decoder.state import SearchState, StepOutput
from showtell.decoder.topdown import TopDownDecoder, attend


class PackedLinear(nn.Module):
    """`nn.Linear` for inference; in bf16 on a CPU its weights are stored in the layout that oneDNN takes.

    Otherwise each call would bring them into this layout: for few rows this takes as long as the product.

    Args:
        weight: (out, in).
        bias: (out,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Buffer(bias.detach().clone())
        self._packed: list[Any] = []  # in a list: an opaque tensor cannot be part of the state dictionary
        if weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and _can_pack():
            self._packed = [torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())]
        else:
            self.weight = nn.Buffer(weight.detach().clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self._packed:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(
                inputs, self._packed[0], self.bias, "none", [], ""
            )
            return product
        return F.linear(inputs, self.weight, self.bias)


def _can_pack() -> bool:
    """Whether this build of PyTorch has oneDNN's packed products (the operators of `torch.compile`)."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")


class FusedTopDown(StepDecoder):
    """The steps of a `TopDownDecoder` with LSTMs, the same up to rounding.

    Input and hidden gates of an LSTM are one product. With `tabulate` the first layer's product with the
    embedding is computed once for all words, which takes 4 H numbers per word. Keys and values are
    contiguous.

    Args:
        decoder: in evaluation mode; later changes of its weights have no effect.
        tabulate: multiply the embeddings of all words here instead of at every step.
    """

    def __init__(self, decoder: TopDownDecoder, *, tabulate: bool) -> None:
        super().__init__()
        self.start = decoder
        inputs, hidden, bias = _gates(decoder.first)
        self.word_gates: Tensor | None
        self.register_buffer("word_gates", None)
        if tabulate:
            with torch.no_grad():
                words = decoder.embedding.weight * decoder.config.embedding_dim**0.5
                self.word_gates = F.linear(words, inputs, bias)  # (V, 4 H)
            self.image_gates = PackedLinear(inputs, torch.zeros_like(bias))
            self.first = PackedLinear(hidden, torch.zeros_like(bias))
        else:
            self.first = PackedLinear(torch.cat([inputs, hidden], dim=1), bias)
        inputs, hidden, bias = _gates(decoder.second)
        self.second = PackedLinear(torch.cat([inputs, hidden], dim=1), bias)
        self.image, self.query, self.attended, self.output = (
            PackedLinear(layer.weight, layer.bias)
            for layer in (decoder.image, decoder.query, decoder.attended, decoder.output)
        )
        self.words = PackedLinear(decoder.embedding.weight, decoder.word_bias)
        self.heads = decoder.config.attention_heads

    def init_state(self, features: Tensor) -> SearchState:
        """See `StepDecoder.init_state`."""
        mean, keys, values = self.start._mean_keys_values(features)
        image = self.image(mean)
        if self.word_gates is not None:
            image = self.image_gates(image)
        first, second = (zero_recurrent(rnn, image) for rnn in (self.start.first, self.start.second))
        return SearchState((image, keys.contiguous(), values.contiguous()), (*first, *second))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """See `StepDecoder.step`."""
        image, keys, values = state.context
        hidden, cell, second_hidden, second_cell = state.recurrent
        if self.word_gates is None:
            gates = self.first(torch.cat([self.start.embed(tokens) + image, hidden], dim=2))
        else:
            gates = self.first(hidden) + F.embedding(tokens, self.word_gates) + image
        hidden, cell = lstm_update(gates, cell)
        queries = self.query(hidden).unflatten(2, (self.heads, -1)).transpose(1, 2)
        seen, weights = attend(queries, keys, values)
        attended = self.attended(seen.transpose(1, 2).flatten(2))  # (B, K, H)
        gates = self.second(torch.cat([hidden + attended, second_hidden], dim=2))
        second_hidden, second_cell = lstm_update(gates, second_cell)
        logits = self.words(torch.tanh(self.output(second_hidden + attended)))
        recurrent = (hidden, cell, second_hidden, second_cell)
        return StepOutput(logits, SearchState(state.context, recurrent), weights.mean(dim=1))


def _gates(lstm: nn.LSTM | nn.GRU) -> tuple[Tensor, Tensor, Tensor]:
    """Input weights (4 H, E), hidden weights (4 H, H) and bias (4 H,)."""
    of_inputs, of_hidden, bias, second_bias = lstm.all_weights[0]
    return of_inputs.detach(), of_hidden.detach(), (bias + second_bias).detach()


def for_search(decoder: StepDecoder, *, tabulate: bool = True) -> StepDecoder:
    """A decoder whose steps are those of `decoder` up to rounding, and faster; itself if there is none.

    Args:
        decoder: in evaluation mode; later changes of its weights may have no effect.
        tabulate: see `FusedTopDown`.
    """
    if isinstance(decoder, EnsembleDecoder):
        return EnsembleDecoder([for_search(member, tabulate=tabulate) for member in decoder.decoders()])
    if type(decoder) is TopDownDecoder and decoder.config.cell == "lstm":
        return FusedTopDown(decoder, tabulate=tabulate).eval()
    return decoder
