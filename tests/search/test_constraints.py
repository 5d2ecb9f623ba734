"""Decoding constraints, in every search."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.config import SearchConfig
from showtell.search.constraints import Constraints
from tests.search.models import SEARCHES, SPECIALS, Stubborn, search

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize("config", SEARCHES)
def test_special_tokens_are_never_generated_and_no_trigram_comes_twice(config: SearchConfig) -> None:
    wants_specials_and_one_word = Stubborn([50.0, 50.0, -20.0, 50.0, 20.0, 10.0] + [0.0] * 6)
    for hypotheses in search(
        wants_specials_and_one_word.step, wants_specials_and_one_word.start(2), SPECIALS, config
    ):
        assert hypotheses
        for hypothesis in hypotheses:
            assert set(hypothesis.tokens) <= set(range(4, 12))
            assert len(hypothesis.tokens) == config.max_length  # it hates to end, and still comes out
            trigrams = list(zip(*(hypothesis.tokens[i:] for i in range(3)), strict=False))
            assert len(trigrams) == len(set(trigrams))


@pytest.mark.parametrize("config", SEARCHES)
def test_repeats_are_allowed_on_demand(config: SearchConfig) -> None:
    stubborn = Stubborn([0.0, 0.0, -50.0, 0.0, 50.0, 0.0])
    hypotheses = search(stubborn.step, stubborn.start(1), SPECIALS, replace(config, block_ngram=0))
    assert (4,) * config.max_length in {h.tokens for h in hypotheses[0]}


@pytest.mark.parametrize("config", SEARCHES)
def test_a_caption_has_the_least_length(config: SearchConfig) -> None:
    eager = Stubborn([0.0, 0.0, 50.0, 0.0, 1.0, 2.0, 3.0])
    for least in (0, 1, 4):
        hypotheses = search(eager.step, eager.start(1), SPECIALS, replace(config, min_length=least))[0]
        assert len(hypotheses[0].tokens) == min(len(h.tokens) for h in hypotheses) == least


@pytest.mark.parametrize("config", SEARCHES)
def test_a_caption_ends_where_no_word_may_follow_even_below_the_least_length(config: SearchConfig) -> None:
    one_word = Stubborn([0.0, 0.0, 0.0, 0.0, 1.0])
    config = replace(config, block_ngram=2, min_length=6)
    for hypotheses in search(one_word.step, one_word.start(2), SPECIALS, config):
        assert {h.tokens for h in hypotheses} == {(4, 4)}


words = st.lists(st.integers(4, 7), max_size=9).map(tuple)


@given(words, st.integers(0, 7), st.sampled_from([0, 2, 3, 4]), st.integers(0, 4))
def test_a_token_is_allowed_by_the_rules_as_they_are_documented(
    prefix: tuple[int, ...], token: int, block_ngram: int, min_length: int
) -> None:
    constraints = Constraints(SPECIALS, SearchConfig(block_ngram=block_ngram, min_length=min_length))
    longer = (*prefix, token)
    ngrams = [longer[start : start + block_ngram] for start in range(len(longer) - block_ngram + 1)]
    allowed = token not in SPECIALS.banned
    if token == SPECIALS.eos:
        allowed = len(prefix) >= min_length
    elif block_ngram and ngrams:
        allowed = allowed and ngrams[-1] not in ngrams[:-1]
    assert constraints.allows(prefix, token) == allowed
    assert (token in constraints.excluded(prefix)) == (not allowed)


def test_a_caption_of_the_maximum_length_must_end() -> None:
    constraints = Constraints(SPECIALS, SearchConfig(max_length=3))
    assert [constraints.must_end((4,) * length) for length in range(4)] == [False, False, False, True]
