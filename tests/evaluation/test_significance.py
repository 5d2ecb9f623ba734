from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from showtell.errors import DataError
from showtell.evaluation.bleu import bleu, bleu_counts, bleu_from_counts
from showtell.evaluation.significance import Statistic, bootstrap, compare

values = st.lists(st.floats(-5, 5), min_size=1, max_size=30)


@settings(max_examples=30)
@given(values)
def test_a_mean_is_a_mean(numbers: list[float]) -> None:
    statistic = Statistic.mean(numbers)
    assert statistic.value == pytest.approx(np.mean(numbers), abs=1e-12)
    assert statistic.images == pytest.approx(np.array(numbers))


def test_a_ratio_of_nothing_is_zero() -> None:
    assert Statistic.ratio([0, 0], [0, 0]).value == 0
    assert Statistic.ratio([1, 2], [2, 4]).value == 0.5


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    numbers = np.random.default_rng(1).normal(3, 2, 1500)
    interval = bootstrap(Statistic.mean(numbers))
    error = numbers.std() / np.sqrt(len(numbers)) * norm.ppf(0.975)
    assert interval.low == pytest.approx(numbers.mean() - error, abs=0.02)
    assert interval.high == pytest.approx(numbers.mean() + error, abs=0.02)


def test_resampled_bleu_is_the_bleu_of_the_resampled_captions() -> None:
    draw = np.random.default_rng(0)
    candidates = [[*map(str, draw.integers(0, 6, draw.integers(1, 9)))] for _ in range(12)]
    people = [[[*map(str, draw.integers(0, 6, draw.integers(2, 9)))] for _ in range(3)] for _ in candidates]
    chosen = draw.integers(0, 12, 12)
    weights = np.bincount(chosen, minlength=12)
    expected, _ = bleu([candidates[i] for i in chosen], [people[i] for i in chosen])
    assert bleu_from_counts(weights @ bleu_counts(candidates, people)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_p_values_are_those_of_all_swaps(pairs: list[tuple[int, int]]) -> None:
    first, second = (Statistic.mean(column) for column in zip(*pairs, strict=True))
    differences = [a - b for a, b in pairs]
    all_swaps = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=len(pairs))]
    exact = np.mean(np.array(all_swaps) >= abs(sum(differences)) - 1e-9)
    difference = compare(first, second)
    assert difference.value == pytest.approx(np.mean(differences))
    assert difference.p_value == pytest.approx(exact, abs=0.03)


def test_a_large_difference_is_seen_and_none_is_not() -> None:
    draw = np.random.default_rng(2)
    easy = draw.normal(0, 1, 400)  # the images differ far more than the models do
    worse, better = easy + draw.normal(0, 0.1, 400), easy + 0.05 + draw.normal(0, 0.1, 400)
    difference = compare(Statistic.mean(better), Statistic.mean(worse))
    assert difference.p_value < 0.001
    assert 0 < difference.interval.low < difference.value < difference.interval.high
    assert compare(Statistic.mean(worse), Statistic.mean(worse)).p_value == 1


def test_nothing_to_compare() -> None:
    with pytest.raises(DataError, match="same images"):
        compare(Statistic.mean([1, 2]), Statistic.mean([1]))
    with pytest.raises(DataError, match="no images"):
        bootstrap(Statistic.mean([]))
