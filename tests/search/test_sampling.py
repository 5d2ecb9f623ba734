"""Sampling, against the distribution of the model."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder import SearchState, StepOutput
from showtell.search import Hypothesis, filter_logits
from tests.search.models import (
    NEG_INF,
    SPECIALS,
    HashModel,
    Stubborn,
    check_against_model,
    lengths,
    search,
    seeds,
)


@settings(max_examples=20)
@given(seeds, st.integers(1, 8), lengths(9), st.sampled_from([0, 2, 3]), st.integers(0, 5), st.booleans())
def test_samples_are_allowed_captions_with_their_own_log_probabilities(
    seed: int, words: int, length: tuple[int, int], block_ngram: int, top_k: int, nucleus: bool
) -> None:
    model = HashModel(seed, words, end_bonus=1.0)
    config = SearchConfig(
        sample=True,
        num_captions=4,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        top_k=top_k,
        top_p=0.7 if nucleus else 1.0,
        temperature=1.5,
        seed=seed,
    )
    batch = search(model.step, model.start([2, 9]), SPECIALS, config, attention=True)
    for image, hypotheses in zip([2, 9], batch, strict=True):
        assert len(hypotheses) == 4
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            check_against_model(model, image, hypothesis, config)


def test_a_sample_that_has_ended_does_not_disturb_the_others() -> None:
    # Ended samples run on beside the others, and meet the blocking of repeats too.
    model = Stubborn([0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0], others_end=-8.0)
    config = SearchConfig(sample=True, block_ngram=2, num_captions=20, min_length=0)
    first, second = search(model.step, model.start(2), SPECIALS, config)
    assert len(first) == len(second) == 20
    assert max(len(h.tokens) for h in first) < min(len(h.tokens) for h in second)


def first_words(model: HashModel, images: list[int], count: int, **settings: float) -> np.ndarray:
    """(images, count), the drawn first words: captions of one word, in the order drawn."""
    drawn = []

    def step(tokens: Tensor, state: SearchState) -> StepOutput:
        drawn.append(tokens)
        return model.step(tokens, state)

    config = SearchConfig(sample=True, num_captions=count, min_length=1, max_length=1, seed=1, **settings)
    search(step, model.start(images), SPECIALS, config)
    return drawn[1].numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_words_are_drawn_as_often_as_they_are_probable(temperature: float) -> None:
    model, count = HashModel(3, words=6, spread=1.0), 2000
    counts = np.bincount(first_words(model, [4], count, temperature=temperature)[0], minlength=10)
    weights = np.exp(model.log_probs[model.row(4, ())].astype(float) / temperature)
    weights[:4] = 0  # neither specials nor the end may be drawn first
    assert counts[:4].sum() == 0
    assert stats.chisquare(counts[4:], count * weights[4:] / weights.sum()).pvalue > 0.01


def test_captions_of_a_batch_are_drawn_independently() -> None:
    one, two = first_words(HashModel(3, words=3, spread=0.3), [4, 4], 1500)
    for left, right in ((one, two), (one[:-1], one[1:])):
        table = np.array([[np.sum((left == a) & (right == b)) for a in (4, 5, 6)] for b in (4, 5, 6)])
        assert stats.chi2_contingency(table).pvalue > 0.01


def test_samples_are_the_same_for_the_same_seed_only() -> None:
    model = HashModel(0, words=8)

    def captions(seed: int) -> list[list[Hypothesis]]:
        config = SearchConfig(sample=True, num_captions=3, seed=seed)
        return search(model.step, model.start([0, 1]), SPECIALS, config)

    torch.manual_seed(0)
    once = captions(5)
    torch.manual_seed(1)
    assert captions(5) == once
    assert captions(6) != once


def naive_filter(logits: list[float], top_k: int, top_p: float) -> set[int]:
    """Which words stay."""
    ranked = sorted(range(len(logits)), key=lambda word: -logits[word])
    if top_k:
        ranked = ranked[:top_k]
    weights = [math.exp(logits[word] - logits[ranked[0]]) for word in ranked]
    kept, held = set(), 0.0
    for word, weight in zip(ranked, weights, strict=True):
        if top_p < 1 and held >= top_p * sum(weights) and kept:
            break
        kept.add(word)
        held += weight
    return kept


@settings(max_examples=50)
@given(
    st.lists(st.integers(-400, 400), unique=True, min_size=1, max_size=12),
    st.integers(0, 14),
    st.sampled_from([0.0, 0.001, 0.1, 0.33, 0.5, 0.77, 0.95, 1.0]),
)
def test_filters_keep_the_likeliest(hundredths: list[int], top_k: int, top_p: float) -> None:
    values = [value / 100 for value in hundredths]
    logits = np.tile(values, (2, 3, 1))
    filtered = filter_logits(logits, top_k, top_p)
    expected = naive_filter(values, top_k, top_p)
    for row in filtered.reshape(6, -1):
        assert set(np.flatnonzero(row > NEG_INF).tolist()) == expected
        np.testing.assert_array_equal(row[row > NEG_INF], logits[0, 0][row > NEG_INF])


def test_of_many_drawn_captions_the_likeliest_are_kept_each_once() -> None:
    model = HashModel(2, 5, 3.0)
    all_drawn = SearchConfig(sample=True, num_captions=60, max_length=6, length_penalty=0.7)
    kept = replace(all_drawn, num_captions=4, draws=60)
    every = search(model.step, model.start([3, 5]), SPECIALS, all_drawn)
    best = search(model.step, model.start([3, 5]), SPECIALS, kept)
    for drawn, hypotheses in zip(every, best, strict=True):
        expected = list(dict.fromkeys(h.tokens for h in drawn))[:4]
        assert [h.tokens for h in hypotheses] == expected
        assert len(set(expected)) == 4


def test_where_few_captions_can_be_drawn_some_come_twice() -> None:
    model = HashModel(2, 1, 1.0)
    config = SearchConfig(sample=True, num_captions=5, draws=9, max_length=1, min_length=1)
    (hypotheses,) = search(model.step, model.start([3]), SPECIALS, config)
    assert len(hypotheses) == 5
