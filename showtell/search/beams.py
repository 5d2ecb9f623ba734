"""Beam search, and greedy search, which is one beam."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np

from showtell.config import SearchConfig
from showtell.search.image_search import ImageSearch
from showtell.search.interface import FloatArray, Hypothesis, SpecialTokens, State, Step, StepScores
from showtell.search.likely_words import LikelyWords

S = TypeVar("S", bound=State)

_COMPACT_BELOW = 0.8
"""Finished images are dropped once at most this fraction is unfinished: dropping copies all tensors."""


class BeamSearch(Generic[S]):
    """Batched beam search (Graves 2012), ranked by log-probability / length ** length_penalty.

    Each image has a search of its own (see `ImageSearch`); a step of the decoder is computed for all of them.
    Images whose search is done leave the batch.
    """

    def __init__(self, step: Step[S], specials: SpecialTokens, config: SearchConfig, attention: bool) -> None:
        self.step, self.specials, self.config, self.keep_attention = step, specials, config, attention

    def run(self, state: S) -> list[list[Hypothesis]]:
        """The captions of each image, best first.

        Raises:
            ModelError: the decoder's logits are not finite.
        """
        images = [ImageSearch(self.specials, self.config) for _ in range(state.images)]
        batch = images  # those that the state holds
        tokens = np.array([image.tokens for image in batch])  # (B, K)
        # What a beam needs if only special tokens are excluded, and earlier beams (diversity) chose others.
        count = tokens.shape[1] * self.config.beam_size + len(self.specials.banned) + 1
        if tokens.shape[1] > 1:
            state = state.select_hypotheses(np.zeros_like(tokens))
        for _ in range(self.config.max_length + 1):
            step_scores = self.step(tokens, state)
            self._extend(batch, step_scores, count)
            remaining = [row for row, image in enumerate(batch) if image.is_open]
            if not remaining:
                break
            state = step_scores.state
            parents = np.array([image.parents for image in batch])  # (B, K')
            if parents.shape != tokens.shape or (parents != np.arange(tokens.shape[1])).any():
                state = state.select_hypotheses(parents)
            if len(remaining) <= _COMPACT_BELOW * len(batch):
                batch = [batch[row] for row in remaining]
                state = state.select_images(np.array(remaining))
            tokens = np.array([image.tokens for image in batch])
        return [image.captions() for image in images]

    def _extend(self, batch: list[ImageSearch], step_scores: StepScores[S], count: int) -> None:
        """Extend the hypotheses of the images whose search goes on; `count` words are looked at first."""
        words = LikelyWords(step_scores, count)
        attention: FloatArray | None = step_scores.attention() if self.keep_attention else None
        if attention is not None:
            attention = attention.reshape(-1, attention.shape[2])
        for row, image in enumerate(batch):
            if image.is_open:
                image.extend(words, row, attention)
