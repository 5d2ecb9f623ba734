"""The open hypotheses of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from showtell.search.interface import FloatArray, Hypothesis, IntArray


@dataclass(frozen=True)
class BeamHypotheses:
    """Open hypotheses of B images, K each, after T tokens; tables have room for L.

    Attributes:
        length: T.
        all_tokens: (B, K, 1 + L), with the start token.
        all_log_probs: (B, K, L), of each token.
        sum_log_probs: (B, K), their sums.
        all_attention: (B, K, L, R), attention weights for each token, or None.
    """

    length: int
    all_tokens: IntArray
    all_log_probs: FloatArray
    sum_log_probs: FloatArray
    all_attention: FloatArray | None

    @classmethod
    def start(cls, images: int, hypotheses: int, token: int, longest: int) -> BeamHypotheses:
        """Before the first token; `longest` is L."""
        tokens = np.empty((images, hypotheses, 1 + longest), np.int64)
        tokens[:, :, 0] = token
        return cls(
            0,
            tokens,
            np.empty((images, hypotheses, longest), np.float32),
            np.zeros((images, hypotheses), np.float32),
            None,
        )

    @property
    def last(self) -> IntArray:
        """(B, K), the newest tokens."""
        return np.ascontiguousarray(self.all_tokens[:, :, self.length])

    @property
    def tokens(self) -> IntArray:
        """(B, K, T), without the start token."""
        return self.all_tokens[:, :, 1 : self.length + 1]

    def append(
        self,
        parents: IntArray | None,
        tokens: IntArray,
        log_probs: FloatArray,
        sum_log_probs: FloatArray,
        attention: FloatArray | None,
    ) -> BeamHypotheses:
        """The hypotheses `parents` (B, K') (None: all as they are) with a token more.

        Args:
            parents: (B, K') or None. Then these hypotheses' tables are overwritten.
            tokens: (B, K').
            log_probs: (B, K').
            sum_log_probs: (B, K').
            attention: (B, K, R) from which the tokens were chosen, or None.
        """
        rows = None if parents is None else np.arange(len(parents))[:, None]

        def of_parents(table: Any) -> Any:
            return table if rows is None else table[rows, parents]

        all_tokens, all_log_probs = of_parents(self.all_tokens), of_parents(self.all_log_probs)
        all_tokens[:, :, self.length + 1] = tokens
        all_log_probs[:, :, self.length] = log_probs
        all_attention = self.all_attention
        if attention is not None:
            if all_attention is None:
                shape = (*attention.shape[:2], self.all_log_probs.shape[2], attention.shape[2])
                all_attention = np.empty(shape, np.float32)
            all_attention = of_parents(all_attention)
            all_attention[:, :, self.length] = of_parents(attention)
        return BeamHypotheses(self.length + 1, all_tokens, all_log_probs, sum_log_probs, all_attention)

    def select_images(self, rows: IntArray) -> BeamHypotheses:
        """Keep the images `rows` (B',)."""
        return BeamHypotheses(
            self.length,
            self.all_tokens[rows],
            self.all_log_probs[rows],
            self.sum_log_probs[rows],
            None if self.all_attention is None else self.all_attention[rows],
        )

    def hypothesis(self, row: int, column: int, end_log_prob: float, length_penalty: float) -> Hypothesis:
        """The hypothesis that ends now, with the log-probability of its end."""
        tokens = tuple(self.tokens[row, column].tolist())
        log_probs = (*self.all_log_probs[row, column, : self.length].tolist(), end_log_prob)
        attention = None
        if self.all_attention is not None:
            attention = self.all_attention[row, column, : self.length].copy()
        return Hypothesis(tokens, log_probs, sum(log_probs) / len(log_probs) ** length_penalty, attention)
