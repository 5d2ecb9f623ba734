"""ROUGE-L against pycocoevalcap and a table filled by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.rouge.rouge import Rouge

from showtell.errors import DataError
from showtell.evaluation.rouge import common_subsequence_lengths, rouge_l

captions = st.lists(st.sampled_from("abcde"), max_size=80)


def table(first: list[str], second: list[str]) -> int:
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if a == b else max(lengths[i][j + 1], lengths[i + 1][j])
    return lengths[-1][-1]


@settings(max_examples=30)
@given(captions, st.lists(captions, max_size=3))
def test_common_subsequences(candidates: list[str], others: list[list[str]]) -> None:
    assert common_subsequence_lengths(candidates, others) == [table(candidates, other) for other in others]


@settings(max_examples=30)
@given(captions.filter(bool), st.lists(captions.filter(bool), min_size=1, max_size=4))
def test_as_the_reference(candidates: list[str], people: list[list[str]]) -> None:
    expected = Rouge().calc_score([" ".join(candidates)], [" ".join(caption) for caption in people])
    assert rouge_l([candidates], [people])[0] == pytest.approx(expected, rel=1e-12)


def test_without_words_it_is_0() -> None:
    assert rouge_l([[], ["a"], []], [[["a"]], [[]], [[]]]).tolist() == [0, 0, 0]


def test_misuse() -> None:
    with pytest.raises(DataError, match="1 candidates for 2"):
        rouge_l([["a"]], [[["a"]], [["a"]]])
    with pytest.raises(DataError, match="image 1 has no references"):
        rouge_l([["a"], ["b"]], [[["a"]], []])
