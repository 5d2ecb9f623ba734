import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.errors import DataError
from showtell.evaluation.word_usage import STOP_WORDS, word_usage

words = st.lists(st.sampled_from(["dog", "cat", "runs", "sits", "a", "on", "grass", "red"]), max_size=6)
images = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=4)), max_size=30)


def test_a_word_used_of_every_image_is_used_too_often() -> None:
    candidates = [["a", "dog", "on", "grass"]] * 20
    people = [[["a", "cat", "on", "grass"], ["the", "a", "cat", "on", "grass"]]] * 15 + [[["a", "dog"]]] * 5
    usage = word_usage(candidates, people)
    assert [(row.word, row.predicted, row.expected) for row in usage.too_often] == [("dog", 20, 5)]
    assert [(row.word, row.predicted, row.expected) for row in usage.never] == [
        ("cat", 0, 15),
        ("the", 0, 7.5),
    ]
    # "grass" lacks in people's captions of the dogs, but there it stands for nothing.
    assert [(one.predicted, one.expected, one.count) for one in usage.confused] == [("dog", "cat", 15)]


@settings(max_examples=30)
@given(images)
def test_counts_are_those_of_counting(some: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, people = [one for one, _ in some], [captions for _, captions in some]
    usage = word_usage(candidates, people)

    def times(word: str) -> int:
        return sum(word in one for one in candidates)

    def wanted(word: str) -> float:
        return sum(sum(word in caption for caption in captions) / len(captions) for captions in people)

    every = {word for captions in people for caption in captions for word in caption}
    assert {row.word for row in usage.never} == {word for word in every if not times(word)}
    rows = [*usage.too_often, *usage.never]
    assert [row.predicted for row in rows] == [times(row.word) for row in rows]
    assert [row.expected for row in rows] == pytest.approx([wanted(row.word) for row in rows])
    assert all(row.predicted - row.expected > 2 * math.sqrt(row.expected) for row in usage.too_often)


@settings(max_examples=30)
@given(images)
def test_confusions_are_those_of_every_pair(some: list[tuple[list[str], list[list[str]]]]) -> None:
    def stands_for(one: str, other: str, candidates: list[str], captions: list[list[str]]) -> bool:
        wrong = one in candidates and not any(one in caption for caption in captions)
        agreed = sum(other in caption for caption in captions) >= len(captions) / 2
        return wrong and agreed and other not in candidates and not {one, other} & STOP_WORDS

    every = {word for candidates, captions in some for caption in [candidates, *captions] for word in caption}
    counts = {
        pair: sum(stands_for(*pair, candidates, captions) for candidates, captions in some)
        for pair in product(every, every)
    }
    confused = word_usage([one for one, _ in some], [captions for _, captions in some]).confused
    assert all(counts[row.predicted, row.expected] == row.count >= 3 for row in confused)
    assert len({(row.predicted, row.expected) for row in confused}) == len(confused)


def test_every_image_needs_a_caption() -> None:
    with pytest.raises(DataError, match="1 captions for 2 photos"):
        word_usage([["a"]], [[["a"]], [["b"]]])
