"""Beam search over tensors, against `showtell.search` and against all captions of a tiny model.

tests/search/test_beams.py runs each of its tests with both searches.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.config import SearchConfig
from showtell.decoder import as_search_step
from showtell.decoder.state import SearchState, StepOutput
from showtell.decoder.tensor_search import TensorBeamSearch, _mask_repeated_ngrams, searches_on_device
from showtell.errors import ModelError
from showtell.search import SpecialTokens, search
from tests.decoder.tiny import CELLS, END, FEATURES, PAD, START, UNK, each_decoder, tiny

SPECIALS = SpecialTokens(START, END, (PAD, START, UNK))


@each_decoder
@torch.inference_mode()
def test_captions_are_those_of_the_search_over_arrays(kind: str, cell: str) -> None:
    decoder, features = tiny(kind, cell), torch.randn(40, CELLS, FEATURES) * 3
    config = SearchConfig(beam_size=3, num_captions=2, max_length=6)
    looks = decoder.has_attention
    state = decoder.init_state(features)
    expected = search(as_search_step(decoder.step, END), state, SPECIALS, config, attention=looks)
    results = TensorBeamSearch(decoder.step, SPECIALS, config, attention=looks).run(state)
    assert [[h.tokens for h in each] for each in results] == [[h.tokens for h in each] for each in expected]
    for ours, theirs in zip(itertools.chain(*results), itertools.chain(*expected), strict=True):
        assert ours.score == pytest.approx(theirs.score, abs=1e-5)
        assert ours.token_log_probs == pytest.approx(theirs.token_log_probs, abs=1e-5)
        if looks and ours.tokens:
            np.testing.assert_allclose(ours.attention, theirs.attention, atol=1e-5)
    assert len({each[0].tokens for each in results}) > 1


@torch.inference_mode()
def test_a_wide_beam_finds_the_best_of_all_captions() -> None:
    """Of three words, by a table that decides the next word from the last one."""
    words, longest = (4, 5, 6), 3
    table = torch.randn(7, 7, generator=torch.Generator().manual_seed(1))
    log_probs = table.log_softmax(dim=1)
    state = SearchState((), (torch.zeros(1, 1, 1),))

    def step(tokens: torch.Tensor, state: SearchState) -> StepOutput:
        return StepOutput(table[tokens], SearchState((), (tokens.unsqueeze(2).float(),)), None)

    config = SearchConfig(
        beam_size=40, num_captions=5, max_length=longest, min_length=1, length_penalty=0, block_ngram=0
    )
    (best,) = TensorBeamSearch(step, SPECIALS, config, attention=False).run(state)
    scores = {
        caption: sum(float(log_probs[a, b]) for a, b in itertools.pairwise([START, *caption, END]))
        for length in range(1, longest + 1)
        for caption in itertools.product(words, repeat=length)
    }
    expected = sorted(scores, key=lambda caption: -scores[caption])[:5]
    assert [hypothesis.tokens for hypothesis in best] == expected
    assert [hypothesis.score for hypothesis in best] == pytest.approx([scores[c] for c in expected], abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(2, 4))
def test_a_word_that_would_repeat_an_ngram_is_masked(tokens: list[int], n: int) -> None:
    if len(tokens) < n:
        tokens = tokens * n
    log_probs = torch.zeros(1, 1, 5)
    _mask_repeated_ngrams(log_probs, torch.tensor([[tokens]]), n)
    seen = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
    repeats = {word for word in range(5) if (*tokens[len(tokens) - n + 1 :], word) in seen}
    assert {word for word in range(5) if log_probs[0, 0, word] == -torch.inf} == repeats


@torch.inference_mode()
def test_logits_that_are_not_finite_are_refused() -> None:
    decoder = tiny("topdown", "lstm")
    decoder.word_bias[5] = torch.nan
    beams = TensorBeamSearch(decoder.step, SPECIALS, SearchConfig(), attention=False)
    with pytest.raises(ModelError, match="not finite"):
        beams.run(decoder.init_state(torch.randn(2, CELLS, FEATURES)))


@pytest.mark.parametrize(
    ("settings", "can"),
    [
        ({}, True),
        ({"sample": True}, False),
        ({"diversity": 0.5, "num_captions": 2}, False),
        ({"beam_size": 1}, True),
    ],
)
def test_which_searches_it_does(settings: dict[str, float], can: bool) -> None:
    assert searches_on_device(SearchConfig(**settings)) == can  # type: ignore[arg-type]
