"""BLEU against pycocoevalcap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu

from showtell.errors import DataError
from showtell.evaluation.bleu import bleu

captions = st.lists(st.sampled_from("abcde"), min_size=1, max_size=9)
images = st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=4)), min_size=1, max_size=6)


@settings(max_examples=30)
@given(images)
def test_as_the_reference(data: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, people = map(list, zip(*data, strict=True))
    corpus, each = bleu(candidates, people)
    expected, expected_each = Bleu(4).compute_score(
        {i: [" ".join(c) for c in some] for i, some in enumerate(people)},
        {i: [" ".join(c)] for i, c in enumerate(candidates)},
        verbose=0,
    )
    np.testing.assert_allclose(corpus, expected, rtol=1e-9)
    np.testing.assert_allclose(each, np.transpose(expected_each), rtol=1e-9)


def test_a_caption_without_words_is_worth_nothing_and_of_two_lengths_the_shorter_counts() -> None:
    corpus, each = bleu([[], list("abcd")], [[list("ab")], [list("abc"), list("abcde")]])
    assert each[0].tolist() == pytest.approx([0] * 4, abs=1e-4)
    assert each[1] == pytest.approx([1] * 4, abs=1e-6), "4 words: 3 and 5 are as close, 3 has no penalty"
    assert 0 < corpus[0] < 1


def test_references_without_words() -> None:
    assert bleu([["a"]], [[[]]])[0].max() < 1e-3


def test_misuse() -> None:
    with pytest.raises(DataError, match="1 candidates for 2"):
        bleu([["a"]], [[["a"]], [["a"]]])
    for bad in ([], [["a"]]):
        with pytest.raises(DataError, match="without references"):
            bleu(bad, [[]] * len(bad))
