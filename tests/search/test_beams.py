"""Beam search, against enumeration and against plain Python loops over one hypothesis at a time."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder import SearchState, StepOutput, as_search_step
from showtell.search import search as search_objects
from tests.search.models import (
    END,
    SPECIALS,
    HashModel,
    allowed,
    check_against_model,
    lengths,
    penalties,
    search,
    seeds,
)

pytestmark = pytest.mark.usefixtures("engine")


def every_caption(model: HashModel, image: int, config: SearchConfig) -> dict[tuple[int, ...], float]:
    """Score of every caption that is allowed."""
    scores = {}

    def extend(words: tuple[int, ...], total: float) -> None:
        for token, log_prob in allowed(model, image, words, config).items():
            if token == END:
                scores[words] = (total + float(log_prob)) / (len(words) + 1) ** config.length_penalty
            else:
                extend((*words, token), total + float(log_prob))

    extend((), 0.0)
    return scores


def plain_beam_search(
    model: HashModel, image: int, config: SearchConfig
) -> list[tuple[float, tuple[int, ...]]]:
    """Beam search of one image that never stops early: to `max_length`, always."""
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended = []
    for _ in range(config.max_length + 1):
        ranked = sorted(
            (
                (total + float(log_prob), words, token)
                for total, words in beam
                for token, log_prob in allowed(model, image, words, config).items()
            ),
            key=lambda item: -item[0],
        )
        for total, words, token in ranked[: config.beam_size]:
            if token == END:
                ended.append((total / (len(words) + 1) ** config.length_penalty, words))
        going_on = [(total, (*words, token)) for total, words, token in ranked if token != END]
        beam = going_on[: config.beam_size]
    return sorted(ended, reverse=True)[: config.num_captions]


def plain_diverse_search(model: HashModel, image: int, config: SearchConfig) -> list[tuple[int, ...]]:
    """Diverse beam search of one image that never stops early: the caption of each beam, in their order."""
    beams: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in range(config.num_captions)]
    ended: list[list[tuple[float, tuple[int, ...]]]] = [[] for _ in beams]
    for _ in range(config.max_length + 1):
        chosen: Counter[int] = Counter()
        for group, beam in enumerate(beams):
            ranked = sorted(
                (
                    (total + float(log_prob), words, token)
                    for total, words in beam
                    for token, log_prob in allowed(model, image, words, config).items()
                ),
                key=lambda item: -(item[0] - config.diversity * chosen[item[2]]),
            )
            for total, words, token in ranked[: config.beam_size]:
                if token == END:
                    ended[group].append((total / (len(words) + 1) ** config.length_penalty, words))
            going_on = [(total, (*words, token)) for total, words, token in ranked if token != END]
            beams[group] = going_on[: config.beam_size]
            chosen.update(words[-1] for _, words in beams[group])
    captions: list[tuple[int, ...]] = []
    for group_captions in ended:
        best = (
            group_captions[:1]
            if config.beam_size == 1
            else sorted(group_captions, reverse=True)[: config.beam_size]
        )
        captions.append(next((words for _, words in best if words not in captions), best[0][1]))
    return captions


@settings(max_examples=20)
@given(seeds, st.integers(1, 3), lengths(4), st.sampled_from([0, 2, 3]), penalties)
def test_a_wide_beam_finds_the_best_of_all_captions(
    seed: int, words: int, length: tuple[int, int], block_ngram: int, penalty: float
) -> None:
    model = HashModel(seed, words)
    config = SearchConfig(
        beam_size=4 * 3**4,
        num_captions=4 * 3**4,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        length_penalty=penalty,
    )
    every = every_caption(model, 5, config)
    hypotheses = search(model.step, model.start([5]), SPECIALS, config)[0]
    assert {h.tokens for h in hypotheses} == set(every)
    assert len(hypotheses) == len(every)
    assert [h.score for h in hypotheses] == pytest.approx(sorted(every.values(), reverse=True), rel=1e-5)
    for hypothesis in hypotheses:
        assert hypothesis.score == pytest.approx(every[hypothesis.tokens], rel=1e-5)


@settings(max_examples=40)
@given(
    seed=seeds,
    words=st.integers(2, 8),
    beam_size=st.integers(2, 5),
    length=lengths(9),
    block_ngram=st.sampled_from([0, 2, 3]),
    penalty=penalties,
    end_bonus=st.sampled_from([-2.0, 0.0, 2.0]),
    spread=st.sampled_from([1.0, 3.0, 9.0]),
)
def test_stopping_early_loses_nothing_and_images_do_not_disturb_each_other(
    seed: int,
    words: int,
    beam_size: int,
    length: tuple[int, int],
    block_ngram: int,
    penalty: float,
    end_bonus: float,
    spread: float,
) -> None:
    model = HashModel(seed, words, spread, end_bonus)
    config = SearchConfig(
        beam_size=beam_size,
        num_captions=beam_size,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        length_penalty=penalty,
    )
    images = [3, 8, 1, 4]
    batch = search(model.step, model.start(images), SPECIALS, config, attention=True)
    for image, hypotheses in zip(images, batch, strict=True):
        expected = plain_beam_search(model, image, config)
        assert [h.tokens for h in hypotheses] == [tokens for _, tokens in expected]
        assert [h.score for h in hypotheses] == pytest.approx([score for score, _ in expected])
        for hypothesis in hypotheses:
            check_against_model(model, image, hypothesis, config)


def test_a_caption_that_wins_late_is_waited_for() -> None:
    """Short captions end early; the best of all is unlikely at its second word, and certain from there on."""
    words = 60
    hesitates = [0.0] * (4 + words)
    hesitates[4:] = [0.5 / words] * words
    hesitates[END] = 0.5
    probabilities = [[0.0, 0.0, 0.5, 0.0, 0.25, 0.25] + [0.0] * (words - 2), hesitates]
    probabilities += [[0.0] * 4 + [float(word == position) for word in range(words)] for position in range(7)]
    probabilities.append([0.0, 0.0, 1.0, 0.0] + [0.0] * words)
    logits = torch.tensor(probabilities).clamp(min=1e-30).log()

    def step(tokens: Tensor, state: SearchState) -> StepOutput:
        (position,) = state.recurrent
        return StepOutput(logits[position], SearchState((), (position + 1,)), None)

    config = SearchConfig(beam_size=2, num_captions=2, max_length=9, length_penalty=1.0)
    hypotheses = search(step, SearchState((), (torch.zeros(1, 1, dtype=torch.long),)), SPECIALS, config)[0]
    assert [len(h.tokens) for h in hypotheses] == [9, 9]
    assert hypotheses[0].score == pytest.approx(math.log(0.25 * 0.5 / words) / 10, rel=1e-4)


def test_images_leave_the_batch_when_they_are_done() -> None:
    model = HashModel(0, words=8, end_bonus=1.0)
    sizes = []

    def step(tokens: Tensor, state: SearchState) -> StepOutput:
        sizes.append(len(tokens))
        return model.step(tokens, state)

    images = list(range(20))
    config = SearchConfig(length_penalty=0)
    search_objects(as_search_step(step, END), model.start(images), SPECIALS, config)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 3
    assert len(sizes) < 21  # and nobody waits for the longest caption allowed


@settings(max_examples=20)
@given(seeds, st.integers(1, 8), lengths(9), st.sampled_from([0, 2, 3]), penalties)
def test_one_beam_is_greedy(
    seed: int, words: int, length: tuple[int, int], block_ngram: int, penalty: float
) -> None:
    model = HashModel(seed, words, end_bonus=1.0)
    config = SearchConfig(
        beam_size=1,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        length_penalty=penalty,
    )
    batch = search(model.step, model.start([0, 1, 2]), SPECIALS, config)
    for image, hypotheses in enumerate(batch):
        prefix: tuple[int, ...] = ()
        while (token := max((may := allowed(model, image, prefix, config)), key=may.__getitem__)) != END:
            prefix = (*prefix, token)
        assert [h.tokens for h in hypotheses] == [prefix]


@settings(max_examples=30)
@given(
    seed=seeds,
    words=st.integers(2, 8),
    beam_size=st.integers(1, 3),
    num_captions=st.integers(2, 4),
    length=lengths(7),
    diversity=st.sampled_from([0.01, 0.5, 3.0]),
    penalty=penalties,
)
def test_diverse_beams_choose_one_after_the_other(
    seed: int,
    words: int,
    beam_size: int,
    num_captions: int,
    length: tuple[int, int],
    diversity: float,
    penalty: float,
) -> None:
    model = HashModel(seed, words, 3.0)
    config = SearchConfig(
        beam_size=beam_size,
        num_captions=num_captions,
        min_length=length[0],
        max_length=length[1],
        length_penalty=penalty,
        diversity=diversity,
    )
    images = [3, 11, 4]
    batch = search(model.step, model.start(images), SPECIALS, config, attention=True)
    for image, hypotheses in zip(images, batch, strict=True):
        expected = plain_diverse_search(model, image, config)
        assert sorted(h.tokens for h in hypotheses) == sorted(expected)
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            check_against_model(model, image, hypothesis, config)


def test_more_diversity_makes_captions_differ_more() -> None:
    model = HashModel(1, 8, 2.0)

    def distinct(diversity: float) -> int:
        config = SearchConfig(beam_size=2, num_captions=4, max_length=6, diversity=diversity)
        batch = search(model.step, model.start(list(range(20))), SPECIALS, config)
        return sum(len({pair for h in hyps for pair in itertools.pairwise(h.tokens)}) for hyps in batch)

    assert distinct(3.0) > distinct(0.5) > distinct(0.001)
