"""Small models to search with, and plain Python searches of one hypothesis at a time to compare with."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder import SearchState, StepOutput, as_search_step
from showtell.decoder.state import TensorStep
from showtell.decoder.tensor_search import TensorBeamSearch, searches_on_device
from showtell.search import Hypothesis, SpecialTokens
from showtell.search import search as search_objects

PAD, START, END, UNK = range(4)
SPECIALS = SpecialTokens(START, END, (PAD, START, UNK))
NEG_INF = -math.inf
CELLS = 3
ENGINE = {"name": "objects"}


def search(
    step: TensorStep,
    state: SearchState,
    specials: SpecialTokens,
    config: SearchConfig,
    *,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search with a step over tensors."""
    with torch.inference_mode():
        if ENGINE["name"] == "tensors" and searches_on_device(config) and state.images:
            return TensorBeamSearch(step, specials, config, attention).run(state)
        return search_objects(
            as_search_step(step, specials.eos), state, specials, config, attention=attention
        )


class HashModel:
    """A model whose next word depends on the image and on every word so far, by a table of random logits.

    The image is in the context, the history in the recurrent state: both must stay with their hypothesis.
    """

    rows = 10_007

    def __init__(self, seed: int, words: int, spread: float = 2.0, end_bonus: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = words
        logits = torch.randn(self.rows, 4 + words, generator=generator) * spread
        logits[:, END] += end_bonus
        self.table = logits
        self.attention = torch.randn(self.rows, CELLS, generator=generator).softmax(dim=1)
        self.log_probs = logits.log_softmax(dim=1).numpy()

    def start(self, images: list[int]) -> SearchState:
        context = torch.tensor(images, dtype=torch.long)
        return SearchState((context,), (torch.zeros(len(images), 1, dtype=torch.long),))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        history = self._next(state.recurrent[0], tokens)
        row = self._row(history, state.context[0].unsqueeze(1))
        return StepOutput(self.table[row], SearchState(state.context, (history,)), self.attention[row])

    def row(self, image: int, words: tuple[int, ...]) -> int:
        """The row of the table that answers after `words`."""
        history = 0
        for token in (START, *words):
            history = self._next(history, token)
        return self._row(history, image)

    def _next(self, history, token):
        return (history * 31 + token + 7) % self.rows

    def _row(self, history, image):
        return (history + image * 131) % self.rows


def allowed(
    model: HashModel, image: int, words: tuple[int, ...], config: SearchConfig
) -> dict[int, np.float32]:
    """Log-probability of everything that may follow `words`, by the rules as they are documented."""
    log_probs = model.log_probs[model.row(image, words)]
    may = {}
    if len(words) < config.max_length:
        seen = set(itertools.pairwise(words)) if config.block_ngram == 2 else set()
        if config.block_ngram > 2:
            n = config.block_ngram
            seen = {words[i : i + n] for i in range(len(words) - n + 1)}
        for word in range(4, 4 + model.words):
            if (*words, word)[-config.block_ngram :] not in seen or not config.block_ngram:
                may[word] = log_probs[word]
    if len(words) >= config.min_length or not may:
        may[END] = log_probs[END]
    return may


def check_against_model(model: HashModel, image: int, hypothesis: Hypothesis, config: SearchConfig) -> None:
    """The caption is allowed, and its log-probabilities, score and attention are its own."""
    words = hypothesis.tokens
    assert set(words) <= set(range(4, 4 + model.words))
    assert len(words) <= config.max_length
    prefixes = [words[:i] for i in range(len(words) + 1)]
    own = [
        allowed(model, image, prefix, config)[token]
        for prefix, token in zip(prefixes, (*words, END), strict=True)
    ]
    assert hypothesis.token_log_probs == pytest.approx(own, rel=1e-5)
    assert hypothesis.log_probability == pytest.approx(float(sum(own)), rel=1e-5)
    assert hypothesis.score == pytest.approx(float(sum(own)) / len(own) ** config.length_penalty, rel=1e-5)
    if hypothesis.attention is not None:
        weights = torch.stack([model.attention[model.row(image, prefix)] for prefix in prefixes[:-1]]).numpy()
        np.testing.assert_allclose(hypothesis.attention, weights)


seeds = st.integers(0, 2**31)
penalties = st.sampled_from([0.0, 0.7, 1.0, 2.0])


@st.composite
def lengths(draw: st.DrawFn, longest: int) -> tuple[int, int]:
    most = draw(st.integers(1, longest))
    return draw(st.integers(0, most)), most


class Stubborn:
    """A decoder that always answers the same logits; images from the second on hate to end."""

    def __init__(self, logits: list[float], others_end: float | None = None) -> None:
        self.logits = torch.tensor(logits)
        self.others = self.logits.clone()
        if others_end is not None:
            self.others[END] = others_end

    def start(self, images: int) -> SearchState:
        return SearchState((torch.arange(images),), (torch.zeros(images, 1, 1),))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        first = (state.context[0] == 0).view(-1, 1, 1)
        logits = torch.where(first, self.logits, self.others).expand(*tokens.shape, -1)
        return StepOutput(logits, state, None)


SEARCHES = [
    pytest.param(SearchConfig(beam_size=1), id="greedy"),
    pytest.param(SearchConfig(num_captions=3), id="beam"),
    pytest.param(SearchConfig(sample=True, num_captions=5), id="sampling"),
]
