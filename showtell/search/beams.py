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
"""Images that are done leave the batch when no more than this share is open: each time all is copied."""


class Beams(Generic[S]):
    """Batched beam search (Graves 2012), ranked by log-probability / length ** length_penalty.

    A hypothesis that ends leaves the beam. An image is done when as many hypotheses have ended as captions
    are wanted and none that is still open can beat the worst of them; done images leave the batch. One beam
    is greedy: it takes the likeliest word each time, so its first end is its caption.

    With `diversity` each caption asked for has a beam of its own (Vijayakumar et al. 2018, arXiv:1610.02424):
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
        trace = BeamHypotheses.start(batch, self.groups, self.specials.start)
        if self.groups > 1:
            state = state.select_hypotheses(np.zeros((batch, self.groups), np.int64))
        self.ended: list[list[list[Hypothesis]]] = [[[] for _ in range(self.groups)] for _ in range(batch)]
        images = np.arange(batch)  # (B,): which image a row of the batch is
        is_open = np.ones(batch, bool)  # (B,): whether it is still looked for
        for _ in range(self.config.max_length + 1):
            following = self.step(trace.tokens[:, :, -1], state)
            trace, parents = self._extend(trace, following, images, is_open)
            is_open &= self._still_open(trace, images, is_open)
            if not is_open.any():
                break
            state = following.state.select_hypotheses(parents)
            if is_open.mean() <= _COMPACT_BELOW:
                rows = np.flatnonzero(is_open)
                images, is_open = images[rows], is_open[rows]
                trace, state = trace.select_images(rows), state.select_images(rows)
        return [self._best(groups) for groups in self.ended]

    def _extend(
        self,
        trace: BeamHypotheses,
        following: StepScores[S],
        images: IntArray,
        is_open: npt.NDArray[np.bool_],
    ) -> tuple[BeamHypotheses, IntArray]:
        """Give each beam its best continuations; also returns whose they are (B, G K)."""
        words, end = allowed_words(following, trace.tokens[:, :, 1:], self.specials, self.config, self.groups)
        beams = words.tokens.shape[1] // self.groups
        taken: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
        chosen = np.empty((len(images), 0), np.int64)  # (B, ...), words of the beams before
        for group in range(self.groups):
            members = slice(group * beams, (group + 1) * beams)
            own = TopWords(words.log_probs[:, members], words.tokens[:, members])
            taken.append(self._continue(trace, group, own, chosen, end, images, is_open))
            chosen = np.concatenate([chosen, taken[-1][1]], axis=1)
        parents, tokens, log_probs, totals = (
            np.concatenate(parts, axis=1) for parts in zip(*taken, strict=True)
        )
        looked = following.attention() if self.keep_attention else None
        return trace.append(parents, tokens, log_probs, totals, looked), parents

    def _continue(
        self,
        trace: BeamHypotheses,
        group: int,
        words: TopWords,
        chosen: IntArray,
        end: FloatArray,
        images: IntArray,
        is_open: npt.NDArray[np.bool_],
    ) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """The K best open continuations of a beam: parents, words, their log-probabilities, and totals.

        Of the 2 K best, those that end are kept apart.
        """
        batch, beams, count = words.tokens.shape
        size = self.config.beam_size
        first = group * beams
        totals = trace.totals[:, first : first + beams, None] + words.log_probs  # (B, K, C)
        ranks = totals
        if chosen.size:
            times = (words.tokens[..., None] == chosen[:, None, None, :]).sum(axis=3)
            ranks = totals - np.float32(self.config.diversity) * times.astype(np.float32)
        rows = np.arange(batch)[:, None]
        flat = _best_first(ranks.reshape(batch, -1), 2 * size)  # (B, 2K)
        parents, tokens = flat // count + first, words.tokens.reshape(batch, -1)[rows, flat]
        ends = tokens == self.specials.end
        # An end counts where it is among the K best; a hypothesis that cannot be said does not count.
        said = ends & (ranks.reshape(batch, -1)[rows, flat] > NEG_INF) & is_open[:, None]
        for row, rank in np.argwhere(said[:, :size]).tolist():
            parent = int(parents[row, rank])
            hypothesis = trace.hypothesis(row, parent, float(end[row, parent]), self.config.length_penalty)
            self.ended[images[row]][group].append(hypothesis)
        keep = np.argsort(ends, axis=1, kind="stable")[:, :size]  # (B, K), best first
        kept = flat[rows, keep]
        kept_totals = np.where(ends[rows, keep], np.float32(NEG_INF), totals.reshape(batch, -1)[rows, kept])
        log_probs = words.log_probs.reshape(batch, -1)[rows, kept]
        return parents[rows, keep], tokens[rows, keep], log_probs, kept_totals

    def _still_open(
        self, trace: BeamHypotheses, images: IntArray, is_open: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Rows (B,) whose image may still get a better hypothesis."""
        best_open = trace.totals.reshape(len(images), self.groups, -1).max(axis=2).tolist()  # (B, G)
        return np.array(
            [
                not done and any(map(self._may_improve, self.ended[image], totals))
                for done, image, totals in zip(~is_open, images.tolist(), best_open, strict=True)
            ]
        )

    def _may_improve(self, ended: Sequence[Hypothesis], total: float) -> bool:
        """Whether a beam may still find better captions than it has, from an open one of this total."""
        # Of one beam as many captions are wanted as it is asked for; of several, each its best that is new.
        wanted = self.config.num_captions if self.groups == 1 else self.config.beam_size
        if total == NEG_INF or len(ended) < wanted:
            return total > NEG_INF
        # log-probabilities only fall, so at the largest divisor an open hypothesis is at its most hopeful.
        length = self.config.max_length + 1
        greedy = self.config.beam_size == 1
        worst = self._ranked(ended)[wanted - 1].score
        return not greedy and total / length**self.config.length_penalty > worst

    def _best(self, groups: Sequence[Sequence[Hypothesis]]) -> list[Hypothesis]:
        ranked = [self._ranked(ended) for ended in groups]
        if self.groups == 1:
            return ranked[0][: self.config.num_captions]
        # Of each beam the best caption that no beam before has found; where it has none, its best.
        best: list[Hypothesis] = []
        for captions in ranked:
            found = {h.tokens for h in best}
            best.append(next((h for h in captions if h.tokens not in found), captions[0]))
        return sorted(best, key=lambda h: -h.score)

    def _ranked(self, ended: Sequence[Hypothesis]) -> list[Hypothesis]:
        """The captions of a beam; a greedy one may have been kept going by others after its first."""
        size = self.config.beam_size
        return list(ended[:1]) if size == 1 else sorted(ended, key=lambda h: -h.score)[:size]


def _best_first(ranks: FloatArray, count: int) -> IntArray:
    """Places (B, `count`) of the largest values of each row (B, N), largest first; all, where N is less."""
    if ranks.shape[1] <= 4 * count:
        return np.argsort(-ranks, axis=1, kind="stable")[:, :count]
    largest = np.argpartition(-ranks, count, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(ranks, largest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(largest, order, axis=1)
