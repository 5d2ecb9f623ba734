"""Captions of words sampled at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from showtell.config import SearchConfig
from showtell.search.constraints import mask_disallowed, repeated_ngrams
from showtell.search.hypotheses import BeamHypotheses
from showtell.search.interface import NEG_INF, Hypothesis, SpecialTokens, State, Step, TopWords

S = TypeVar("S", bound=State)
Floats = TypeVar("Floats", bound=npt.NDArray[np.floating])


class Sampling(Generic[S]):
    """Samples words: temperature, then the top k, then the nucleus (Holtzman et al. 2020, arXiv:1904.09751).

    If more captions are sampled than requested (`draws`), the most likely by the ranking of beam search are
    kept, each once as far as there are others. The random numbers of image n of the batch are those of the
    seed + n: they depend neither on the other images nor on the size of the batch.
    """

    def __init__(self, step: Step[S], specials: SpecialTokens, config: SearchConfig, attention: bool) -> None:
        self.step, self.specials, self.config, self.keep_attention = step, specials, config, attention

    def run(self, state: S) -> list[list[Hypothesis]]:
        """The captions of each image, best first."""
        batch, samples = state.images, max(self.config.draws, self.config.num_captions)
        steps = self.config.max_length + 1
        random = [
            np.random.default_rng(self.config.seed + image).random((steps, samples)) for image in range(batch)
        ]
        quantiles = np.stack(random, axis=1)  # (L, B, K)
        hypotheses = BeamHypotheses.start(batch, samples, self.specials.bos, steps)
        state = state.select_hypotheses(np.zeros((batch, samples), np.int64))
        done: list[list[Hypothesis | None]] = [[None] * samples for _ in range(batch)]
        for step in range(steps):
            step_scores = self.step(hypotheses.last, state)
            log_probs = step_scores.log_probs()
            every = np.broadcast_to(np.arange(log_probs.shape[2]), log_probs.shape)
            words = mask_disallowed(
                TopWords(log_probs, every),
                step_scores.end(),
                repeated_ngrams(hypotheses.tokens, self.config.block_ngram),
                hypotheses.length,
                self.specials,
                self.config,
            )
            tokens, token_log_probs = self._sample(words, quantiles[step])
            for row, column in np.argwhere(tokens == self.specials.eos).tolist():
                if done[row][column] is None:
                    done[row][column] = hypotheses.hypothesis(
                        row, column, float(token_log_probs[row, column]), self.config.length_penalty
                    )
            if all(hypothesis is not None for row_done in done for hypothesis in row_done):
                break
            attention = step_scores.attention() if self.keep_attention else None
            hypotheses = hypotheses.append(
                None, tokens, token_log_probs, hypotheses.sum_log_probs + token_log_probs, attention
            )
            state = step_scores.state
        return [self._best([h for h in row if h is not None]) for row in done]

    def _sample(
        self, words: TopWords, quantiles: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The word of each hypothesis at a quantile (B, K) of its distribution, and its log-probability."""
        logits = words.log_probs / np.float32(self.config.temperature)
        filtered = filter_logits(logits, self.config.top_k, self.config.top_p)
        held = np.exp(filtered - filtered.max(axis=2, keepdims=True)).cumsum(axis=2, dtype=np.float64)
        # Where a share of all that is held falls; a word of no probability holds nothing, so it never does.
        shares = quantiles[:, :, None] * held[:, :, -1:]
        place = (held <= shares).sum(axis=2, keepdims=True)  # (B, K, 1)
        return tuple(np.take_along_axis(array, place, axis=2)[:, :, 0] for array in words[::-1])  # type: ignore[return-value]

    def _best(self, sampled: Sequence[Hypothesis]) -> list[Hypothesis]:
        ranked = sorted(sampled, key=lambda h: -h.score)
        seen: set[tuple[int, ...]] = set()
        new: list[Hypothesis] = []
        again: list[Hypothesis] = []
        for hypothesis in ranked:
            (again if hypothesis.tokens in seen else new).append(hypothesis)
            seen.add(hypothesis.tokens)
        return sorted((new + again)[: self.config.num_captions], key=lambda h: -h.score)


def filter_logits(logits: Floats, top_k: int, top_p: float) -> Floats:
    """Mask (-inf) all but the `top_k` most likely (0: all), then all outside the nucleus `top_p`.

    The nucleus holds the most likely words until their probability reaches `top_p`; never less than one.

    Args:
        logits: (..., V).
        top_k: number of words to keep.
        top_p: probability to keep.
    """
    if top_k and top_k < logits.shape[-1]:
        least = np.partition(logits, -top_k, axis=-1)[..., -top_k, None]
        logits = np.where(logits < least, NEG_INF, logits)  # type: ignore[assignment]
    if top_p < 1:
        order = np.argsort(-logits, axis=-1, kind="stable")
        weights = np.exp(np.take_along_axis(logits, order, axis=-1) - logits.max(axis=-1, keepdims=True))
        probabilities = weights / weights.sum(axis=-1, keepdims=True)
        outside = probabilities.cumsum(axis=-1) - probabilities >= top_p
        outside[..., 0] = False
        logits = logits.copy()
        np.put_along_axis(
            logits, order, np.where(outside, NEG_INF, np.take_along_axis(logits, order, axis=-1)), axis=-1
        )
    return logits
