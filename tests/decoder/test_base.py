"""Dropout and the packed order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from showtell.decoder.base import LockedDropout, Packing, make_rnn, packed_targets, run_rnn

GROUPS = torch.tensor([0, 1, 2, 0, 1, 0])


def test_dropout_drops_the_same_units_of_a_group() -> None:
    dropout = LockedDropout(0.4)
    dropped = dropout(torch.ones(6, 1000), GROUPS, 3)
    masks = [dropped[GROUPS.eq(group)] for group in range(3)]
    for mask in masks:
        assert torch.equal(mask, mask[:1].expand_as(mask))
        torch.testing.assert_close(mask.unique(), torch.tensor([0, 1 / 0.6]))
    assert not torch.equal(masks[0][0], masks[1][0])
    assert not torch.equal(masks[1][0], masks[2][0])


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_expectation(probability: float) -> None:
    torch.manual_seed(0)
    dropped = LockedDropout(probability)(torch.full((6, 40_000), 3.0), GROUPS, 3)
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert dropped.mean().item() == pytest.approx(3.0, rel=0.03)


def test_dropout_passes_gradients_of_what_it_keeps() -> None:
    rows = torch.randn(6, 50, requires_grad=True)
    dropped = LockedDropout(0.5)(rows, GROUPS, 3)
    dropped.sum().backward()
    torch.testing.assert_close(rows.grad, torch.where(dropped == 0, 0.0, 2.0))


def test_dropout_is_off_in_evaluation_and_at_zero() -> None:
    rows = torch.randn(6, 50)
    assert LockedDropout(0.5).eval()(rows, GROUPS, 3) is rows
    assert LockedDropout(0.0)(rows, GROUPS, 3) is rows


caption_lengths = st.lists(st.integers(2, 9), min_size=1, max_size=8).map(
    lambda lengths: sorted(lengths)[::-1]
)


@settings(deadline=None, max_examples=30)
@given(caption_lengths, st.integers(0, 3))
def test_packed_order_is_all_first_words_then_all_second_words(lengths: list[int], padding: int) -> None:
    captions = torch.zeros(len(lengths), lengths[0] + padding, dtype=torch.long)
    for row, length in enumerate(lengths):
        captions[row, :length] = 100 * row + torch.arange(length)
    targets = packed_targets(captions, torch.tensor(lengths))
    expected = [
        100 * row + position
        for position in range(1, lengths[0])
        for row, length in enumerate(lengths)
        if position < length
    ]
    assert targets.tolist() == expected
    packing = Packing.of(torch.tensor(lengths) - 1, torch.device("cpu"))
    assert packing.sequence.tolist() == [target // 100 for target in expected]


@settings(deadline=None, max_examples=20)
@given(caption_lengths, st.sampled_from(["lstm", "gru"]), st.integers(0, 2**31))
def test_a_recurrent_run_is_that_of_torch(lengths: list[int], cell: str, seed: int) -> None:
    torch.manual_seed(seed)
    rnn = make_rnn(cell, 5, 7)
    padded = torch.randn(len(lengths), lengths[0], 5)
    packed = pack_padded_sequence(padded, torch.tensor(lengths), batch_first=True)
    packing = Packing.of(torch.tensor(lengths), torch.device("cpu"))
    assert torch.equal(padded[packing.sequence, packing.step], packed.data)
    assert torch.equal(packing.batch_sizes, packed.batch_sizes)
    inputs = packed.data.requires_grad_()
    ours = run_rnn(rnn, PackedSequence(inputs, packed.batch_sizes))
    torchs = rnn(PackedSequence(inputs, packed.batch_sizes))[0].data
    torch.testing.assert_close(ours, torchs)
    wanted = (inputs, *rnn.parameters())
    direction = torch.randn_like(ours)
    for mine, theirs in zip(
        torch.autograd.grad(ours, wanted, direction),
        torch.autograd.grad(torchs, wanted, direction),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
