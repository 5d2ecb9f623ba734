"""N-grams as numbers, against counting tuples of words."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.evaluation.ngrams import Ngrams, pack, unpack

captions = st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=5)


def by_tuples(caption: list[int], n: int) -> list[tuple[int, ...]]:
    return [tuple(caption[i : i + n]) for i in range(len(caption) - n + 1)]


@settings(max_examples=50)
@given(captions)
def test_counts_of_each_order_are_those_of_tuples(some: list[list[int]]) -> None:
    words = np.array([word for caption in some for word in caption], np.int64)
    ngrams = Ngrams(words, np.array([len(caption) for caption in some], np.int64))
    for n in range(1, 5):
        of_caption = [Counter(by_tuples(caption, n)) for caption in some]
        in_order = [gram for caption in some for gram in by_tuples(caption, n)]
        _, own = np.unique(ngrams.keys, return_inverse=True)
        assert len(own) == len(in_order)
        named = dict(zip(own.tolist(), in_order, strict=True))
        assert [named[number] for number in own.tolist()] == in_order, "equal keys, equal n-grams"
        counts = ngrams.count(own)
        rows = zip(counts.caption.tolist(), counts.ngram.tolist(), counts.times.tolist(), strict=True)
        listed = [(caption, named[number], times) for caption, number, times in rows]
        expected = [(i, gram, times) for i, grams in enumerate(of_caption) for gram, times in grams.items()]
        assert sorted(listed) == sorted(expected)
        assert counts.caption.tolist() == sorted(counts.caption.tolist())
        ngrams.lengthen(own)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)), min_size=1, max_size=6))
def test_packed_numbers_come_back_and_are_ordered_by_the_first(pairs: list[tuple[int, int]]) -> None:
    high, low = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    packed = pack(high, low)
    assert [tuple(pair) for pair in zip(*(part.tolist() for part in unpack(packed)), strict=True)] == pairs
    assert [pairs[place] for place in np.argsort(packed, kind="stable")] == sorted(pairs)
