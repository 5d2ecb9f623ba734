"""Hypotheses: the captions of a search that have not ended yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from showtell.search.interface import FloatArray, Hypothesis


@dataclass(slots=True)  # not frozen: making one takes four times as long then, and a search makes many
class OpenHypothesis:
    """A hypothesis of T tokens.

    Attributes:
        tokens: word ids (T,), without the start.
        log_probs: of each word (T,).
        sum_log_probs: their sum.
        attention: of each word, attention weights (R,); empty if they are not kept.
    """

    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    sum_log_probs: float = 0.0
    attention: tuple[FloatArray, ...] = ()

    def append(self, token: int, log_prob: float, attention: FloatArray | None) -> OpenHypothesis:
        """The hypothesis with one token more.

        Args:
            token: its id.
            log_prob: its log-probability.
            attention: (R,) attention weights from which it was chosen, or None.
        """
        return OpenHypothesis(
            (*self.tokens, token),
            (*self.log_probs, log_prob),
            self.sum_log_probs + log_prob,
            self.attention if attention is None else (*self.attention, attention),
        )

    def complete(self, log_prob: float, length_penalty: float) -> Hypothesis:
        """The caption that ends here; `log_prob` is the log-probability of the end."""
        log_probs = (*self.log_probs, log_prob)
        score = (self.sum_log_probs + log_prob) / len(log_probs) ** length_penalty
        attention = np.stack(self.attention) if self.attention else None
        return Hypothesis(self.tokens, log_probs, score, attention)
