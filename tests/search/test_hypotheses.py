"""`OpenHypothesis`: what it keeps of each word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.search.hypotheses import OpenHypothesis

REGIONS = 3
words_with_scores = st.lists(st.tuples(st.integers(4, 99), st.floats(-50, 0)), max_size=8)


@given(words_with_scores, st.floats(-50, 0), st.sampled_from([0.0, 0.7, 2.0]), st.booleans())
def test_a_caption_has_the_tokens_scores_and_attention_of_its_words(
    words: list[tuple[int, float]], end: float, penalty: float, with_attention: bool
) -> None:
    hypothesis = OpenHypothesis()
    weights = np.random.default_rng(len(words)).random((len(words), REGIONS)).astype(np.float32)
    for (token, log_prob), row in zip(words, weights, strict=True):
        hypothesis = hypothesis.append(token, log_prob, row if with_attention else None)
    total = sum(log_prob for _, log_prob in words)
    assert hypothesis.sum_log_probs == pytest.approx(total)
    caption = hypothesis.complete(end, penalty)
    assert caption.tokens == tuple(token for token, _ in words)
    assert caption.token_log_probs == (*(log_prob for _, log_prob in words), end)
    assert caption.score == pytest.approx((total + end) / (len(words) + 1) ** penalty)
    if with_attention and words:
        np.testing.assert_array_equal(caption.attention, weights)
    else:
        assert caption.attention is None


def test_a_hypothesis_can_be_continued_in_several_ways() -> None:
    first = OpenHypothesis().append(4, -1.0, np.zeros(REGIONS, np.float32))
    left, right = (first.append(token, -float(token), np.ones(REGIONS, np.float32)) for token in (5, 6))
    assert (first.tokens, left.tokens, right.tokens) == ((4,), (4, 5), (4, 6))
    assert (left.sum_log_probs, right.sum_log_probs) == (-6.0, -7.0)
    assert first.complete(0.0, 0.0).attention.tolist() == [[0.0] * REGIONS]  # type: ignore[union-attr]
