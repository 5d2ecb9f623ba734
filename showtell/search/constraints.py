"""Decoding constraints: length, banned tokens, no repeated n-grams."""

from __future__ import annotations

from showtell.config import SearchConfig
from showtell.search.interface import SpecialTokens


class Constraints:
    """Which tokens may follow a hypothesis. If none may, the caption ends, however short it is.

    Args:
        specials: ids of the special tokens.
        config: `min_length`, `max_length`, `block_ngram`.
    """

    def __init__(self, specials: SpecialTokens, config: SearchConfig) -> None:
        self._banned, self._eos = frozenset(specials.banned), specials.eos
        self._min_length, self._max_length = config.min_length, config.max_length
        self._block_ngram = config.block_ngram

    def allows(self, words: tuple[int, ...], token: int) -> bool:
        """Whether a token may follow these words (T,), which are fewer than the maximum."""
        if token in words:
            return not repeats_ngram((*words, token), self._block_ngram)
        return token not in self._banned and (token != self._eos or len(words) >= self._min_length)

    def excluded(self, words: tuple[int, ...]) -> list[int]:
        """The tokens that may not follow these words (T,), which are fewer than the maximum."""
        return [token for token in {*self._banned, self._eos, *words} if not self.allows(words, token)]

    def must_end(self, words: tuple[int, ...]) -> bool:
        """Whether a hypothesis of these words (T,) has the maximum length."""
        return len(words) == self._max_length


def repeats_ngram(words: tuple[int, ...], n: int) -> bool:
    """Whether the last n-gram of these words (T,) comes before, too; False for n = 0."""
    last, starts = words[-n:], range(len(words) - n)
    return n > 0 and any(words[start : start + n] == last for start in starts)
