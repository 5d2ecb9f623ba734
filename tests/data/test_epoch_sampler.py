"""The batches of an epoch: entered anywhere, shared by processes, weighted."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from showtell.data.epoch_sampler import EpochSampler


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_can_be_entered_anywhere(size: int, batch_size: int, seed: int, epoch: int) -> None:
    sampler = EpochSampler(size, batch_size, seed)
    sampler.epoch = epoch
    whole = list(sampler)
    assert len(whole) == len(sampler)
    assert sorted(index for batch in whole for index, _ in batch) == list(range(size))
    for first in range(len(whole)):
        sampler.first_batch = first
        assert list(sampler) == whole[first:]
    assert list(sampler) == whole


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4))
def test_processes_share_each_batch(size: int, batch_size: int, processes: int) -> None:
    whole = list(EpochSampler(size, batch_size, 0))
    assert max(map(len, whole)) <= batch_size
    assert max(map(len, whole)) - min(map(len, whole)) <= 1
    parts = [list(EpochSampler(size, batch_size, 0, rank, processes)) for rank in range(processes)]
    for number, batch in enumerate(whole):
        theirs = [item for part in parts for item in part[number]]
        assert sorted(theirs) == sorted(batch)
        assert len(parts[0][number]) - len(parts[-1][number]) <= 1


weights_of_items = st.lists(
    st.one_of(st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 2.75]), st.floats(0.01, 4)), min_size=1, max_size=30
)


@given(weights_of_items, st.integers(1, 9), st.integers(0, 3), st.integers(1, 4))
def test_weighted_epochs(weights: list[float], batch_size: int, seed: int, processes: int) -> None:
    """All epochs are of one length; whole parts of weights always come, fractions once more or not."""
    sampler = EpochSampler(len(weights), batch_size, seed, weights=weights)
    for epoch in range(3):
        sampler.epoch = epoch
        whole = list(sampler)
        assert len(whole) == len(sampler)
        assert max(map(len, whole)) <= batch_size
        assert max(map(len, whole)) - min(map(len, whole)) <= 1
        assert sum(map(len, whole)) == sampler.size
        counts = Counter(index for batch in whole for index, _ in batch)
        for item, weight in enumerate(weights):
            assert math.floor(weight) <= counts[item] <= math.ceil(weight)
        draws = {draw for batch in whole for _, draw in batch}
        assert len(draws) > sampler.size - 3, "an item that comes again is seen differently"
        for first in range(len(whole)):
            sampler.first_batch = first
            assert list(sampler) == whole[first:]
        shares = [
            EpochSampler(len(weights), batch_size, seed, rank, processes, weights)
            for rank in range(processes)
        ]
        for share in shares:
            share.epoch = epoch
        for batch, *parts in zip(whole, *shares, strict=True):
            assert sorted(item for part in parts for item in part) == sorted(batch)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5))
def test_equal_weights_of_1_change_nothing(size: int, batch_size: int, seed: int) -> None:
    plain, weighted = (EpochSampler(size, batch_size, seed, weights=w) for w in (None, [1.0] * size))
    assert list(plain) == list(weighted)


def test_the_mean_over_epochs_is_the_weight() -> None:
    weights = [0.3] * 40 + [2.6] * 30 + [1.0] * 5
    sampler, epochs, counts = EpochSampler(75, 16, 7, weights=weights), 400, Counter[int]()
    for epoch in range(epochs):
        sampler.epoch = epoch
        drawn = Counter(index for batch in sampler for index, _ in batch)
        assert sum(drawn[i] for i in range(40)) == 12, "0.3 of 40"
        assert sum(drawn[i] for i in range(40, 70)) == 78, "2.6 of 30"
        counts += drawn
    for item, weight in enumerate(weights):
        spread = math.sqrt(weight % 1 * (1 - weight % 1) / epochs)
        assert abs(counts[item] / epochs - weight) <= 4.5 * spread


def test_epochs_differ() -> None:
    sampler = EpochSampler(50, 10, 0)
    first = list(sampler)
    sampler.epoch = 1
    assert list(sampler) != first
