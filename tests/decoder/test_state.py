"""The state between steps, and the scores of a step as `showtell.search` takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from showtell.decoder.state import SearchState, StepOutput, as_search_step, blockwise_topk
from showtell.errors import ModelError
from showtell.search import StepScores

END = 2


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(64, 1500), st.integers(1, 9), st.integers(0, 2**31))
def test_the_largest_are_those_of_topk(rows: int, words: int, count: int, seed: int) -> None:
    values = torch.randn(rows, 2, words, generator=torch.Generator().manual_seed(seed))
    best, places = blockwise_topk(values, count)
    expected = values.topk(count, dim=2)
    torch.testing.assert_close(best, expected.values, rtol=0, atol=0)
    torch.testing.assert_close(places, expected.indices)


def state_of(images: int, hypotheses: int) -> SearchState:
    """A state whose every entry holds the numbers of its image and its hypothesis."""
    numbers = torch.arange(images)[:, None] * 10 + torch.arange(hypotheses)
    return SearchState((torch.arange(images)[:, None],), (numbers, numbers.unsqueeze(2).expand(-1, -1, 3)))


def test_images_are_kept_in_the_order_asked_for() -> None:
    kept = state_of(3, 2).select_images(np.array([2, 0]))
    assert kept.images == 2
    assert kept.context[0].flatten().tolist() == [2, 0]
    assert kept.recurrent[0].tolist() == [[20, 21], [0, 1]]
    assert kept.recurrent[1][:, :, 0].tolist() == [[20, 21], [0, 1]]


@pytest.mark.parametrize("as_tensor", [False, True])
def test_hypotheses_follow_their_parents(as_tensor: bool) -> None:
    parents = np.array([[1, 1, 0], [0, 1, 0]])
    state = state_of(2, 2).select_hypotheses(torch.from_numpy(parents) if as_tensor else parents)
    assert state.recurrent[0].tolist() == [[1, 1, 0], [10, 11, 10]]
    assert state.recurrent[1].shape == (2, 3, 3)
    assert state.context[0].flatten().tolist() == [0, 1], "the image's own stays"


def scores_of(logits: Tensor, attention: Tensor | None = None) -> StepScores[SearchState]:
    """The scores of a step that gives these logits (B, K, V) and this attention."""
    state = state_of(*logits.shape[:2])
    step = as_search_step(lambda tokens, _: StepOutput(logits, state, attention), END)
    return step(np.zeros(logits.shape[:2], np.int64), state)


def test_scores_of_a_step_are_log_probabilities() -> None:
    logits = torch.randn(2, 3, 7)
    expected = (logits.exp() / logits.exp().sum(dim=2, keepdim=True)).log().numpy()
    scores = scores_of(logits, torch.full((2, 3, 4), 0.25))
    np.testing.assert_allclose(scores.log_probs(), expected, rtol=1e-5)
    np.testing.assert_allclose(scores.end(), expected[:, :, END], rtol=1e-5)
    top = scores.top(100)
    assert top.log_probs.shape == (2, 3, 7), "no more than there are words"
    np.testing.assert_allclose(top.log_probs, -np.sort(-expected, axis=2), rtol=1e-5)
    np.testing.assert_array_equal(top.tokens, np.argsort(-expected, axis=2))
    attention = scores.attention()
    assert attention is not None
    assert attention.sum(axis=2).tolist() == [[1.0] * 3] * 2
    assert scores_of(logits).attention() is None


def test_what_search_changes_does_not_change_the_scores() -> None:
    scores = scores_of(torch.randn(1, 2, 5))
    before = scores.log_probs()
    scores.log_probs()[:] = 0
    scores.end()[:] = 0
    np.testing.assert_array_equal(scores.log_probs(), before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    logits = torch.zeros(1, 2, 5)
    logits[0, 1, 3] = bad
    with pytest.raises(ModelError, match="not finite"):
        scores_of(logits)
