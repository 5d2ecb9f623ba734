"""Beam search, and greedy search, which is one beam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from showtell.config import SearchConfig
from showtell.search.constraints import allowed_words
from showtell.search.hypotheses import BeamHypotheses
from showtell.search.interface import (
    NEG_INF,
    FloatArray,
    Hypothesis,
    IntArray,
    SpecialTokens,
    State,
    Step,
    StepScores,
    TopWords,
)

S = TypeVar("S", bound=State)

_COMPACT_BELOW = 0.8
"""Finished images are dropped once at most this fraction is unfinished: dropping copies all tensors."""


_SORT_UP_TO = 64
"""Candidates that are sorted whole: selecting the best of so few first takes longer."""


class BeamSearch(Generic[S]):
    """Batched beam search (Graves 2012), ranked by log-probability / length ** length_penalty.

    A hypothesis that ends leaves the beam. An image is done when as many hypotheses have ended as captions
    are wanted and none that is still open can beat the worst of them; done images leave the batch. One beam
    is greedy: it takes the most likely word each time, so its first end is its caption.

    With `diversity` each requested caption has a beam of its own (Vijayakumar et al. 2018, arXiv:1610.02424):
    beams choose one after the other, and a word loses `diversity` for each hypothesis of the beams before
    that has just chosen it (also of beams whose caption has ended). Beams lie beside each other: (B, G, K),
    as (B, G K).
    """

    def __init__(self, step: Step[S], specials: SpecialTokens, config: SearchConfig, attention: bool) -> None:
        self.step, self.specials, self.config, self.keep_attention = step, specials, config, attention
        self.groups = config.num_captions if config.diversity else 1

    def run(self, state: S) -> list[list[Hypothesis]]:
        """The captions of each image, best first."""
        batch = state.images
        hypotheses = BeamHypotheses.start(batch, self.groups, self.specials.bos, self.config.max_length + 1)
        if self.groups > 1:
            state = state.select_hypotheses(np.zeros((batch, self.groups), np.int64))
        self.ended: list[list[list[Hypothesis]]] = [[[] for _ in range(self.groups)] for _ in range(batch)]
        # (B, G): score that an open hypothesis has to exceed; -inf while more captions are wanted.
        self.worst = np.full((batch, self.groups), NEG_INF)
        images = np.arange(batch)  # (B,): which image a row of the batch is
        is_open = np.ones(batch, bool)  # (B,): whether it is still searched
        for _ in range(self.config.max_length + 1):
            step_scores = self.step(hypotheses.last, state)
            hypotheses, parents = self._extend(hypotheses, step_scores, images, is_open)
            is_open = is_open & self._may_improve(hypotheses, images)
            remaining = np.count_nonzero(is_open)
            if not remaining:
                break
            state = step_scores.state
            if parents is not None:
                state = state.select_hypotheses(parents)
            if remaining <= _COMPACT_BELOW * len(is_open):
                rows = np.flatnonzero(is_open)
                images, is_open = images[rows], is_open[rows]
                hypotheses, state = hypotheses.select_images(rows), state.select_images(rows)
        return [self._best(groups) for groups in self.ended]

    def _extend(
        self,
        hypotheses: BeamHypotheses,
        step_scores: StepScores[S],
        images: IntArray,
        is_open: npt.NDArray[np.bool_],
    ) -> tuple[BeamHypotheses, IntArray | None]:
        """Extend each beam by its best continuations.

        Returns:
            The hypotheses, and the parent (B, G K) of each; None if no hypothesis moved.
        """
        words, end = allowed_words(step_scores, hypotheses.tokens, self.specials, self.config, self.groups)
        beams = words.tokens.shape[1] // self.groups
        taken: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
        for group in range(self.groups):
            members = slice(group * beams, (group + 1) * beams)
            own = TopWords(words.log_probs[:, members], words.tokens[:, members])
            chosen = [tokens for _, tokens, _, _ in taken]  # of the beams before
            taken.append(self._continue(hypotheses, group, own, chosen, end, images, is_open))
        parents, tokens, log_probs, sum_log_probs = (
            taken[0]
            if self.groups == 1
            else (np.concatenate(parts, axis=1) for parts in zip(*taken, strict=True))
        )
        attention = step_scores.attention() if self.keep_attention else None
        moved = None if parents.shape[1] == beams == 1 else parents
        return hypotheses.append(moved, tokens, log_probs, sum_log_probs, attention), moved

    def _continue(
        self,
        hypotheses: BeamHypotheses,
        group: int,
        words: TopWords,
        chosen: Sequence[IntArray],
        end: FloatArray,
        images: IntArray,
        is_open: npt.NDArray[np.bool_],
    ) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """The K best open continuations of a beam: parents, words, their log-probabilities, and their sums.

        Of the 2 K best, those that end are kept apart.
        """
        batch, beams, count = words.tokens.shape
        size = self.config.beam_size
        first = group * beams
        sum_log_probs = (
            hypotheses.sum_log_probs[:, first : first + beams, None] + words.log_probs
        )  # (B, K, C)
        ranks = sum_log_probs
        if chosen:
            before = np.concatenate(chosen, axis=1)
            times = (words.tokens[..., None] == before[:, None, None, :]).sum(axis=3)
            ranks = sum_log_probs - np.float32(self.config.diversity) * times.astype(np.float32)
        best = _best_first(ranks.reshape(batch, -1), 2 * size)  # (B, 2 K), places among K C
        flat = best + (np.arange(batch) * (beams * count))[:, None]  # among B K C
        ends = words.tokens.take(flat) == self.specials.eos
        if ends.any():
            # An end counts if it is among the K best; a hypothesis that is not allowed does not count.
            counts = ends[:, :size] & (ranks.take(flat[:, :size]) > NEG_INF) & is_open[:, None]
            for row, rank in np.argwhere(counts).tolist():
                parent = int(best[row, rank]) // count + first
                hypothesis = hypotheses.hypothesis(
                    row, parent, float(end[row, parent]), self.config.length_penalty
                )
                self._complete(int(images[row]), group, hypothesis)
            order = np.argsort(ends, axis=1, kind="stable")  # (B, 2 K), those that continue first, best first
            order += (np.arange(batch) * ends.shape[1])[:, None]  # among B 2 K
            best, flat = best.take(order), flat.take(order)
            sum_log_probs = np.where(words.tokens == self.specials.eos, np.float32(NEG_INF), sum_log_probs)
        best, flat = best[:, :size], flat[:, :size]
        return (
            best // count + first,
            words.tokens.take(flat),
            words.log_probs.take(flat),
            sum_log_probs.take(flat),
        )

    def _complete(self, image: int, group: int, hypothesis: Hypothesis) -> None:
        """Add a complete caption to those of a beam."""
        ended = self.ended[image][group]
        ended.append(hypothesis)
        # A single group needs `num_captions` finished captions; a diverse group needs `beam_size`, to have
        # one that no other group found.
        wanted = self.config.num_captions if self.groups == 1 else self.config.beam_size
        if len(ended) >= wanted:
            self.worst[image, group] = self._ranked(ended)[wanted - 1].score

    def _may_improve(self, hypotheses: BeamHypotheses, images: IntArray) -> npt.NDArray[np.bool_]:
        """Rows (B,) whose image may still get a better caption from an open hypothesis."""
        best_open = hypotheses.sum_log_probs.reshape(len(images), self.groups, -1).max(axis=2)  # (B, G)
        worst = self.worst[images]
        if self.config.beam_size == 1:
            return ((best_open > NEG_INF) & (worst == NEG_INF)).any(axis=1)
        # Log-probabilities only decrease, so dividing by the longest length bounds the final score.
        longest = self.config.max_length + 1
        can_improve = best_open.astype(np.float64) / longest**self.config.length_penalty > worst
        return can_improve.any(axis=1)

    def _best(self, groups: Sequence[Sequence[Hypothesis]]) -> list[Hypothesis]:
        ranked = [self._ranked(ended) for ended in groups]
        if self.groups == 1:
            return ranked[0][: self.config.num_captions]
        # The best caption of each group that no earlier group found, or its best if there is none.
        best: list[Hypothesis] = []
        for captions in ranked:
            taken = {h.tokens for h in best}
            best.append(next((h for h in captions if h.tokens not in taken), captions[0]))
        return sorted(best, key=lambda h: -h.score)

    def _ranked(self, ended: Sequence[Hypothesis]) -> list[Hypothesis]:
        """The finished captions of a group, best first; greedy search keeps only the first."""
        size = self.config.beam_size
        return list(ended[:1]) if size == 1 else sorted(ended, key=lambda h: -h.score)[:size]


def _best_first(ranks: FloatArray, count: int) -> IntArray:
    """Places (B, `count`) of the largest values of each row (B, N), largest first; all, where N is less."""
    if ranks.shape[1] <= max(4 * count, _SORT_UP_TO):
        return np.argsort(-ranks, axis=1, kind="stable")[:, :count]
    largest = np.argpartition(-ranks, count, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(ranks, largest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(largest, order, axis=1)
