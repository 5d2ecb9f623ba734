"""`BeamHypotheses`: its tables, against plain lists of one hypothesis at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.search.hypotheses import BeamHypotheses

START, REGIONS = 1, 3
Plain = list[tuple[list[int], list[float], list[list[float]]]]
"""Of each hypothesis of an image: tokens, their log-probabilities, their attention weights."""


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 3), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_hypotheses_carry_the_tokens_of_their_parents(seed: int, images: int, widths: list[int]) -> None:
    random = np.random.default_rng(seed)
    hypotheses = BeamHypotheses.start(images, 2, START, len(widths))
    plain: list[Plain] = [[([], [], []) for _ in range(2)] for _ in range(images)]
    np.testing.assert_array_equal(hypotheses.last, np.full((images, 2), START))
    for width in widths:
        before = len(plain[0])
        parents = random.integers(0, before, (images, width))
        keep = width == before and bool(random.integers(2))
        parents = np.tile(np.arange(width), (images, 1)) if keep else parents
        tokens = random.integers(4, 99, (images, width))
        log_probs = -random.random((images, width)).astype(np.float32)
        weights = random.random((images, before, REGIONS)).astype(np.float32)
        sum_log_probs = np.take_along_axis(hypotheses.sum_log_probs, parents, axis=1) + log_probs
        hypotheses = hypotheses.append(None if keep else parents, tokens, log_probs, sum_log_probs, weights)
        plain = [
            [
                (
                    [*plain[image][parent][0], int(tokens[image, column])],
                    [*plain[image][parent][1], float(log_probs[image, column])],
                    [*plain[image][parent][2], weights[image, parent].tolist()],
                )
                for column, parent in enumerate(row)
            ]
            for image, row in enumerate(parents.tolist())
        ]
        np.testing.assert_array_equal(hypotheses.last, tokens)
    for image, row in enumerate(plain):
        for column, (words, values, attention) in enumerate(row):
            ended = hypotheses.hypothesis(image, column, -0.5, length_penalty=0.7)
            assert ended.tokens == tuple(words)
            assert ended.token_log_probs == (*values, -0.5)
            assert ended.log_probability == pytest.approx(sum(values) - 0.5)
            assert ended.score == pytest.approx((sum(values) - 0.5) / (len(words) + 1) ** 0.7)
            assert hypotheses.sum_log_probs[image, column] == pytest.approx(sum(values), rel=1e-5)
            np.testing.assert_array_equal(ended.attention, np.array(attention, np.float32))


def test_images_that_are_kept_keep_their_hypotheses() -> None:
    hypotheses = BeamHypotheses.start(3, 2, START, 4)
    tokens = np.array([[4, 5], [6, 7], [8, 9]])
    log_probs = -tokens.astype(np.float32)
    hypotheses = hypotheses.append(None, tokens, log_probs, log_probs, None)
    kept = hypotheses.select_images(np.array([2, 0]))
    np.testing.assert_array_equal(kept.tokens, [[[8], [9]], [[4], [5]]])
    np.testing.assert_array_equal(kept.sum_log_probs, [[-8, -9], [-4, -5]])
    assert kept.hypothesis(0, 1, 0.0, 1.0).token_log_probs == (-9.0, 0.0)
    assert kept.hypothesis(0, 1, 0.0, 1.0).attention is None


def test_a_hypothesis_keeps_its_attention_when_the_search_goes_on() -> None:
    hypotheses = BeamHypotheses.start(1, 1, START, 2)
    one, two = np.array([[4]]), np.array([[5]])
    zero = np.zeros((1, 1), np.float32)
    hypotheses = hypotheses.append(None, one, zero, zero, np.full((1, 1, REGIONS), 0.25, np.float32))
    ended = hypotheses.hypothesis(0, 0, 0.0, 0.0)
    hypotheses.append(None, two, zero, zero, np.full((1, 1, REGIONS), 0.75, np.float32)).all_attention[:] = 9  # type: ignore[index]
    assert ended.tokens == (4,)
    np.testing.assert_array_equal(ended.attention, np.full((1, REGIONS), 0.25, np.float32))
