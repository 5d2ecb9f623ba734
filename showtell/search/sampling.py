"""Captions of words sampled at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from showtell.config import SearchConfig
from showtell.search.constraints import Constraints
from showtell.search.hypotheses import OpenHypothesis
from showtell.search.interface import (
    NEG_INF,
    FloatArray,
    Hypothesis,
    IntArray,
    SpecialTokens,
    State,
    Step,
    StepScores,
)

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
        self._constraints = Constraints(specials, config)

    def run(self, state: S) -> list[list[Hypothesis]]:
        """The captions of each image, best first.

        Raises:
            ModelError: the decoder's logits are not finite.
        """
        batch, samples = state.images, max(self.config.draws, self.config.num_captions)
        steps = self.config.max_length + 1
        random = [
            np.random.default_rng(self.config.seed + image).random((steps, samples)) for image in range(batch)
        ]
        quantiles = np.stack(random, axis=1)  # (L, B, K)
        # (image, sample) -> the hypothesis, as long as it goes on.
        hypotheses = {index: OpenHypothesis() for index in np.ndindex(batch, samples)}
        ended: list[list[Hypothesis]] = [[] for _ in range(batch)]
        tokens = np.full((batch, samples), self.specials.bos)
        state = state.select_hypotheses(np.zeros_like(tokens))
        for step in range(steps):
            step_scores = self.step(tokens, state)
            log_probs = self._mask(step_scores, hypotheses)
            attention = step_scores.attention() if self.keep_attention else None
            tokens = self._sample(log_probs, quantiles[step])
            for index, hypothesis in list(hypotheses.items()):
                token, log_prob = int(tokens[index]), float(log_probs[*index, tokens[index]])
                if token == self.specials.eos:
                    ended[index[0]].append(hypothesis.complete(log_prob, self.config.length_penalty))
                    del hypotheses[index]
                else:
                    weights = None if attention is None else attention[index]
                    hypotheses[index] = hypothesis.append(token, log_prob, weights)
            if not hypotheses:
                break
            state = step_scores.state
        return [self._best(captions) for captions in ended]

    def _mask(
        self, step_scores: StepScores[S], hypotheses: Mapping[tuple[int, ...], OpenHypothesis]
    ) -> FloatArray:
        """Log-probabilities (B, K, V) of every word, -inf where it may not follow a hypothesis.

        The distribution is the model's own: the other words are not scaled up.
        """
        log_probs, end = step_scores.log_probs(), step_scores.end()
        for index, hypothesis in hypotheses.items():
            if self._constraints.must_end(hypothesis.tokens):
                log_probs[index] = NEG_INF
            else:
                log_probs[index][self._constraints.excluded(hypothesis.tokens)] = NEG_INF
        nothing_may_follow = log_probs.max(axis=2) == NEG_INF  # (B, K)
        log_probs[nothing_may_follow, self.specials.eos] = end[nothing_may_follow]
        return log_probs

    def _sample(self, log_probs: FloatArray, quantiles: npt.NDArray[np.float64]) -> IntArray:
        """The word (B, K) of each hypothesis at a quantile (B, K) of its distribution (B, K, V)."""
        logits = log_probs / np.float32(self.config.temperature)
        filtered = filter_logits(logits, self.config.top_k, self.config.top_p)
        held = np.exp(filtered - filtered.max(axis=2, keepdims=True)).cumsum(axis=2, dtype=np.float64)
        # Where a share of all that is held falls; a word of no probability holds nothing, so it never does.
        shares = quantiles[:, :, None] * held[:, :, -1:]
        tokens: IntArray = (held <= shares).sum(axis=2)
        return tokens

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
