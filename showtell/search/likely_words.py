"""The most likely next words of hypotheses."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from showtell.search.interface import NEG_INF, StepScores, TopWords


class LikelyWords:
    """The next words of all N = B K hypotheses of a batch, the most likely first, as Python numbers.

    Args:
        step_scores: scores of the next tokens, of B images with K hypotheses each.
        count: number of words to fetch at first; the others are fetched if they are asked for.
    """

    def __init__(self, step_scores: StepScores[Any], count: int) -> None:
        self._step_scores, self._count = step_scores, count
        self._end = step_scores.end().ravel()  # (N,)
        words = _by_id(step_scores.top(count))
        self._log_probs: list[list[float]] = words.log_probs.reshape(len(self._end), -1).tolist()
        self._tokens: list[list[int]] = words.tokens.reshape(len(self._end), -1).tolist()
        if (words.log_probs[:, :, -1] == NEG_INF).any():
            self._drop_impossible()
        self._more: LikelyWords | None = None

    def end(self, index: int) -> float:
        """Log-probability that the caption of a hypothesis ends."""
        return float(self._end[index])

    def after(self, index: int) -> Iterable[tuple[float, int]]:
        """The words of positive probability after a hypothesis: log-probabilities and ids, best first.

        Equally likely words that are fetched together come in the order of their ids.
        """
        fetched = zip(self._log_probs[index], self._tokens[index], strict=True)
        return itertools.chain(fetched, self._others(index))

    def _others(self, index: int) -> Iterator[tuple[float, int]]:
        """The words after those that are fetched already."""
        if len(self._tokens[index]) == self._count:
            if self._more is None:
                self._more = LikelyWords(self._step_scores, 2 * self._count)
            fetched = set(self._tokens[index])
            yield from (word for word in self._more.after(index) if word[1] not in fetched)

    def _drop_impossible(self) -> None:
        """Drop words of no probability, which come last."""
        for log_probs, tokens in zip(self._log_probs, self._tokens, strict=True):
            while log_probs and log_probs[-1] == NEG_INF:
                log_probs.pop()
                tokens.pop()


def _by_id(words: TopWords) -> TopWords:
    """Equally likely words by their ids: the order of a top-k depends on the size of the batch."""
    if not (words.log_probs[:, :, 1:] >= words.log_probs[:, :, :-1]).any():
        return words
    order = np.lexsort((words.tokens, -words.log_probs), axis=2)
    return TopWords(*(np.take_along_axis(array, order, axis=2) for array in words))  # type: ignore[arg-type]
