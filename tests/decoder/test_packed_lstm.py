"""The LSTM that is written out, against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from showtell.decoder.packed_lstm import packed_lstm


def packed(lengths: list[int], width: int, dtype: torch.dtype = torch.float64) -> PackedSequence:
    lengths = sorted(lengths, reverse=True)
    inputs = torch.randn(len(lengths), lengths[0], width, dtype=dtype)
    return pack_padded_sequence(inputs, torch.tensor(lengths), batch_first=True)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 2**31),
)
def test_outputs_and_gradients_are_those_of_torch(
    lengths: list[int], hidden: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)
    rnn = nn.LSTM(width, hidden, dtype=torch.float64)
    inputs = packed(lengths, width)
    data = inputs.data.requires_grad_()
    theirs = rnn(PackedSequence(data, inputs.batch_sizes))[0].data
    of_inputs, of_hidden, bias, second_bias = rnn.all_weights[0]
    gates = nn.functional.linear(data, of_inputs, bias + second_bias)
    kept = gates.detach().clone()
    ours = packed_lstm(gates, of_hidden, inputs.batch_sizes)
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(gates, kept)
    weights = [data, *rnn.parameters()]
    direction = torch.randn_like(ours)
    expected = torch.autograd.grad(theirs, weights, direction)
    for mine, gradient in zip(torch.autograd.grad(ours, weights, direction), expected, strict=True):
        torch.testing.assert_close(mine, gradient)


def test_without_gradients_it_is_the_same_and_changes_nothing() -> None:
    torch.manual_seed(0)
    inputs = packed([5, 3, 3, 1], 12)
    weight = torch.randn(12, 3, dtype=torch.float64)
    kept = inputs.data.clone()
    with torch.no_grad():
        ours = packed_lstm(inputs.data, weight, inputs.batch_sizes)
    assert torch.equal(inputs.data, kept)
    again = packed_lstm(inputs.data.clone().requires_grad_(), weight, inputs.batch_sizes)
    torch.testing.assert_close(ours, again)


@pytest.mark.parametrize("frozen", ["gates", "weight"])
def test_one_of_both_may_be_frozen(frozen: str) -> None:
    torch.manual_seed(0)
    inputs = packed([4, 2], 8)
    gates, weight = inputs.data.clone(), torch.randn(8, 2, dtype=torch.float64)
    (weight if frozen == "gates" else gates).requires_grad_()
    packed_lstm(gates, weight, inputs.batch_sizes).sum().backward()
    assert (gates.grad is None, weight.grad is None) == (frozen == "gates", frozen == "weight")


def test_bf16_is_close_to_fp64() -> None:
    torch.manual_seed(0)
    inputs = packed(np.random.default_rng(0).integers(1, 20, 16).tolist(), 64)
    weight = torch.randn(64, 16, dtype=torch.float64) / 4
    results = []
    for dtype in (torch.float64, torch.bfloat16):
        given = [tensor.to(dtype, copy=True).requires_grad_() for tensor in (inputs.data, weight)]
        hidden = packed_lstm(*given, inputs.batch_sizes)
        assert hidden.dtype == dtype
        hidden.square().sum().backward()
        results.append([hidden.detach(), *(tensor.grad for tensor in given)])
    for exact, low in zip(*results, strict=True):
        assert (low - exact).square().mean() < 0.03**2 * exact.square().mean()
