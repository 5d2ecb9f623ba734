"""The most likely next words of hypotheses."""

from __future__ import annotations

from collections.abc import Iterator
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
        self._more: LikelyWords | None = None

    def end(self, index: int) -> float:
        """Log-probability that the caption of a hypothesis ends."""
        return float(self._end[index])

    def after(self, index: int) -> Iterator[tuple[float, int]]:
        """The words of positive probability after a hypothesis: log-probabilities and ids, best first.

        Equally likely words that are fetched together come in the order of their ids.
        """
        tokens = self._tokens[index]
        for log_prob, token in zip(self._log_probs[index], tokens, strict=True):
            if log_prob == NEG_INF:
                return
            yield log_prob, token
        if len(tokens) == self._count:
            if self._more is None:
                self._more = LikelyWords(self._step_scores, 2 * self._count)
            yield from (word for word in self._more.after(index) if word[1] not in tokens)


def _by_id(words: TopWords) -> TopWords:
    """Equally likely words by their ids: the order of a top-k depends on the size of the batch."""
    if not (words.log_probs[:, :, 1:] >= words.log_probs[:, :, :-1]).any():
        return words
    order = np.lexsort((words.tokens, -words.log_probs), axis=2)
    return TopWords(*(np.take_along_axis(array, order, axis=2) for array in words))  # type: ignore[arg-type]
