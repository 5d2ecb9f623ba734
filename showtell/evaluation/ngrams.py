"""The n-grams of many captions at once, as numbers.

Every n-gram gets a number. Its key packs the number of its first n - 1 words and that of its last word into
64 bits, and its number is the key's place in a sorted table. So keys never collide, whatever the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """How often captions have each of their n-grams of one order: `(E,)` arrays, sorted by caption."""

    caption: Ints
    ngram: Ints
    times: Ints


class Ngrams:
    """The n-grams of captions that lie end to end: those of one word, and after `lengthen` of one word more.

    Attributes:
        keys: (G,) a key for each n-gram; whoever uses them gives equal keys equal numbers, under 2**31.
    """

    def __init__(self, words: Ints, lengths: Ints) -> None:
        """Start with the words (W,) of all captions, and the number of words (N,) of each."""
        self.keys = words
        self._starts = np.arange(len(words))  # (G,)
        self._caption = np.repeat(np.arange(len(lengths)), lengths)  # (G,)
        self._left = np.repeat(np.cumsum(lengths), lengths) - self._starts - 1  # (G,) words after the n-gram
        self._words: Ints | None = None  # (W,) numbers of the words
        self._order = 1

    def count(self, numbers: Ints) -> Counts:
        """Count the n-grams in each caption, given their numbers (G,)."""
        pairs, times = np.unique(pack(self._caption, numbers), return_counts=True)
        return Counts(*unpack(pairs), times)

    def lengthen(self, numbers: Ints) -> None:
        """Go on to the n-grams of one word more, given the numbers (G,) of these."""
        if self._words is None:
            self._words = numbers
        on = self._left > 0
        self._starts, self._caption, self._left = self._starts[on], self._caption[on], self._left[on] - 1
        self.keys = pack(numbers[on], self._words[self._starts + self._order])
        self._order += 1


def pack(high: Ints, low: Ints) -> Ints:
    """Two numbers under 2**31 in one of 64 bits, ordered by the first."""
    return high << 32 | low


def unpack(packed: Ints) -> tuple[Ints, Ints]:
    """The two numbers of `pack`."""
    return packed >> 32, packed & 0xFFFFFFFF
