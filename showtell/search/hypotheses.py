"""The open hypotheses of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from showtell.search.interface import FloatArray, Hypothesis, IntArray


@dataclass(frozen=True)
class BeamHypotheses:
    """Open hypotheses of B images, K each, after T words.

    Attributes:
        tokens: (B, K, 1 + T), with the start.
        log_probs: (B, K, T), of each word.
        totals: (B, K), their sums.
        attention: (B, K, T, R), where the decoder looked, or None.
    """

    tokens: IntArray
    log_probs: FloatArray
    totals: FloatArray
    attention: FloatArray | None

    @classmethod
    def start(cls, images: int, hypotheses: int, token: int) -> BeamHypotheses:
        """Before the first word."""
        return cls(
            np.full((images, hypotheses, 1), token, np.int64),
            np.zeros((images, hypotheses, 0), np.float32),
            np.zeros((images, hypotheses), np.float32),
            None,
        )

    def append(
        self,
        parents: IntArray,
        tokens: IntArray,
        log_probs: FloatArray,
        totals: FloatArray,
        looked: FloatArray | None,
    ) -> BeamHypotheses:
        """The hypotheses `parents` (B, K') with a word more, chosen after `looked` (B, K, R)."""
        rows = np.arange(len(parents))[:, None]
        attention = None
        if looked is not None:
            attention = looked[rows, parents][:, :, None]
            if self.attention is not None:
                attention = np.concatenate([self.attention[rows, parents], attention], axis=2)
        return BeamHypotheses(
            np.concatenate([self.tokens[rows, parents], tokens[:, :, None]], axis=2),
            np.concatenate([self.log_probs[rows, parents], log_probs[:, :, None]], axis=2),
            totals,
            attention,
        )

    def select_images(self, rows: IntArray) -> BeamHypotheses:
        """Keep the images `rows` (B',)."""
        return BeamHypotheses(
            self.tokens[rows],
            self.log_probs[rows],
            self.totals[rows],
            None if self.attention is None else self.attention[rows],
        )

    def hypothesis(self, row: int, column: int, end_log_prob: float, length_penalty: float) -> Hypothesis:
        """The hypothesis that ends now, with the log-probability of its end."""
        tokens = tuple(self.tokens[row, column, 1:].tolist())
        log_probs = (*self.log_probs[row, column].tolist(), end_log_prob)
        looked = None if self.attention is None else self.attention[row, column].copy()
        return Hypothesis(tokens, log_probs, sum(log_probs) / len(log_probs) ** length_penalty, looked)
