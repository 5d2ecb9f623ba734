"""`LikelyWords`, against a sort of the whole vocabulary."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.search import StepScores, TopWords
from showtell.search.interface import FloatArray
from showtell.search.likely_words import LikelyWords

END = 2
few_values = st.sampled_from([-np.inf, -3.0, -2.0, -1.0])  # many are equal


class Scores(StepScores[None]):
    """Scores (B, K, V) as they are; remembers how many words were asked for."""

    def __init__(self, log_probs: FloatArray) -> None:
        self.state, self.asked = None, list[int]()
        self._log_probs = log_probs.astype(np.float32)

    def top(self, count: int) -> TopWords:
        self.asked.append(count)
        # Equal ones in the reverse of the order that is promised.
        order = np.argsort(-self._log_probs[:, :, ::-1], axis=2, kind="stable")[:, :, :count]
        tokens = self._log_probs.shape[2] - 1 - order
        return TopWords(np.take_along_axis(self._log_probs, tokens, axis=2), tokens)

    def end(self) -> FloatArray:
        return self._log_probs[:, :, END]

    def log_probs(self) -> FloatArray:
        return self._log_probs.copy()

    def attention(self) -> None:
        return None


@given(st.lists(few_values, min_size=3, max_size=20), st.integers(1, 25))
def test_all_words_come_best_first_and_equal_ones_by_their_ids(values: list[float], count: int) -> None:
    values[END] = -1.5
    scores = Scores(np.tile(values, (2, 2, 1)))
    words = LikelyWords(scores, count)
    expected = sorted((-value, token) for token, value in enumerate(values) if value > -np.inf)
    for index in range(4):
        after = list(words.after(index))
        assert sorted((-log_prob, token) for log_prob, token in after) == expected
        assert [log_prob for log_prob, _ in after] == [-negative for negative, _ in expected]
        assert words.end(index) == -1.5
        if count >= len(values):
            assert [token for _, token in after] == [token for _, token in expected]


def test_the_fake_returns_equal_words_in_the_other_order() -> None:
    assert Scores(np.zeros((1, 1, 4))).top(9).tokens.tolist() == [[[3, 2, 1, 0]]]


def test_more_words_are_fetched_only_if_they_are_asked_for() -> None:
    scores = Scores(-np.arange(100.0).reshape(1, 1, 100))
    words = LikelyWords(scores, 5)
    assert [token for _, token in itertools.islice(words.after(0), 5)] == [0, 1, 2, 3, 4]
    assert scores.asked == [5]
    assert [token for _, token in itertools.islice(words.after(0), 13)] == list(range(13))
    assert scores.asked == [5, 10, 20]
    assert [token for _, token in itertools.islice(words.after(0), 13)] == list(range(13))
    assert scores.asked == [5, 10, 20]  # once for all hypotheses


def test_each_hypothesis_has_its_own_words() -> None:
    log_probs = np.random.default_rng(0).normal(size=(3, 2, 9))
    words = LikelyWords(Scores(log_probs), 4)
    for index, row in enumerate(log_probs.reshape(6, 9)):
        assert [token for _, token in words.after(index)] == np.argsort(-row).tolist()
        assert words.end(index) == pytest.approx(row[END])
