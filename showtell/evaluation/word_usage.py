"""Words that candidate captions use too often, never, or in place of others, compared with the references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from showtell.errors import DataError

Words = Sequence[str]

_ROWS: Final = 24
_MIN_CONFUSIONS: Final = 3
_STOP_WORDS: Final = """
    a an the of in on at to with by for from into onto near over under and or as while is are was were be
    been being it its his her their this that these those there up down out off through next beside
    behind front other another some several two one 's
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS.split())
"""Words that describe little of an image; they are left out of the confusions."""


@dataclass(frozen=True)
class WordCount:
    """How many candidate captions have a word, and how many would have it if they were human captions.

    Attributes:
        word: the word.
        predicted: number of candidates with the word.
        expected: sum over the images of the share of the references with the word.
    """

    word: str
    predicted: float
    expected: float


@dataclass(frozen=True)
class Confusion:
    """A word that candidates have while the references agree on another.

    Attributes:
        predicted: the word of the candidates.
        expected: the word of the references.
        count: number of images.
    """

    predicted: str
    expected: str
    count: int


@dataclass(frozen=True)
class WordUsage:
    """Differences in word usage between captions and references.

    Attributes:
        too_often: words in far more candidates than expected, the least likely by chance first.
        never: words that are expected most often, and that no candidate has.
        confused: words in no reference of the image, beside words that most references have.
    """

    too_often: tuple[WordCount, ...]
    never: tuple[WordCount, ...]
    confused: tuple[Confusion, ...]


def word_usage(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> WordUsage:
    """Compare the words of candidates with those of the references.

    A word is expected as often as the share of an image's references with the word, summed over the images. A
    surplus counts from twice its standard error on, and is ranked by its likelihood ratio (as of a Poisson
    count). Confusions come at least three times, and are ranked by their number and by how much more often
    than chance the two words meet.

    Args:
        candidates: N captions, as words.
        references: human captions of each image, as words.

    Raises:
        DataError: there are not as many captions as images.
    """
    if len(candidates) != len(references):
        raise DataError(f"{len(candidates)} captions for {len(references)} photos; give one each")
    predicted = Counter(word for words in candidates for word in set(words))
    reference_rates = _rates(references)

    def likelihood(row: WordCount) -> float:
        rate = max(row.expected, 0.5)
        return row.predicted * math.log(row.predicted / rate) - (row.predicted - rate)

    surplus = [
        WordCount(word, number, reference_rates.get(word, 0.0))
        for word, number in predicted.items()
        if number - reference_rates.get(word, 0.0) > 2 * math.sqrt(max(reference_rates.get(word, 0.0), 1))
    ]
    unused = [WordCount(word, 0, number) for word, number in reference_rates.items() if word not in predicted]
    return WordUsage(
        tuple(sorted(surplus, key=lambda row: (-likelihood(row), row.word))[:_ROWS]),
        tuple(sorted(unused, key=lambda row: (-row.expected, row.word))[:_ROWS]),
        _confusions(candidates, references),
    )


def _rates(references: Sequence[Sequence[Words]]) -> dict[str, float]:
    """Word -> expected number of captions with it, if each image had one human caption."""
    rates: dict[str, float] = {}
    for captions in references:
        for word, times in Counter(word for words in captions for word in set(words)).items():
            rates[word] = rates.get(word, 0.0) + times / len(captions)
    return rates


def _confusions(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> tuple[Confusion, ...]:
    """Pairs of a wrong word and one that it stands for, by how much more often than chance they meet."""
    pairs: Counter[tuple[str, str]] = Counter()
    wrong: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    for words, captions in zip(candidates, references, strict=True):
        by_people = Counter(word for caption in captions for word in set(caption))
        bad = {word for word in words if word not in by_people} - STOP_WORDS
        agreed = {word for word, number in by_people.items() if 2 * number >= len(captions)}
        missed = agreed - set(words) - STOP_WORDS
        wrong.update(bad)
        lacking.update(missed)
        pairs.update((one, other) for one in bad for other in missed)

    def weight(pair: tuple[str, str]) -> float:
        return pairs[pair] * math.log(pairs[pair] * len(candidates) / (wrong[pair[0]] * lacking[pair[1]]))

    chosen = [pair for pair, times in pairs.items() if times >= _MIN_CONFUSIONS and weight(pair) > 0]
    chosen.sort(key=lambda pair: (-weight(pair), pair))
    return tuple(Confusion(*pair, pairs[pair]) for pair in chosen[:_ROWS])
