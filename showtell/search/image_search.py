"""The beam search of one image.

Hypotheses are plain Python objects: an image has few, and an operation of NumPy takes longer than all that
is done with them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping

from showtell.config import SearchConfig
from showtell.search.constraints import Constraints
from showtell.search.hypotheses import OpenHypothesis
from showtell.search.interface import FloatArray, Hypothesis, SpecialTokens
from showtell.search.likely_words import LikelyWords

_Continuation = tuple[float, int, int, float]
"""What it is ranked by (least first), index of its parent, token, log-probability of the token."""


class Beam:
    """A beam of K hypotheses, and the captions that have ended in it.

    A hypothesis that ends leaves the beam. One beam is greedy: it takes the most likely word each time, so
    its first end is its caption.

    Attributes:
        hypotheses: those that go on, at most K; at the start one without words.
        parents: which of the hypotheses before each of them extends.
        ended: the captions that have ended, at most K, best first.
    """

    def __init__(self, specials: SpecialTokens, config: SearchConfig) -> None:
        self._eos, self._config = specials.eos, config
        self._constraints = Constraints(specials, config)
        self.hypotheses = [OpenHypothesis()]
        self.parents = [0]
        self.ended: list[Hypothesis] = []

    def extend(
        self, words: LikelyWords, first: int, penalties: Mapping[int, float], attention: FloatArray | None
    ) -> None:
        """Replace the hypotheses by their K best continuations; an end counts if it is among the K best.

        Args:
            words: the next words of all hypotheses of the batch.
            first: index of this beam's first hypothesis among those of the batch.
            penalties: word -> what its log-probability loses.
            attention: (N, R) attention weights of all hypotheses of the batch, or None.
        """
        before, size = self.hypotheses, self._config.beam_size
        continuations: Iterable[Iterable[_Continuation]] = [
            self._continuations(parent, hypothesis, words, first + parent, penalties)
            for parent, hypothesis in enumerate(before)
        ]
        if penalties:  # they change the order; of so many, K are words without a penalty, and one the end
            enough = size + len(penalties) + 1
            continuations = [sorted(itertools.islice(ranked, enough)) for ranked in continuations]
        self.hypotheses, self.parents = [], []
        for rank, (_, parent, token, log_prob) in enumerate(heapq.merge(*continuations)):
            if token != self._eos:
                weights = None if attention is None else attention[first + parent]
                self.hypotheses.append(before[parent].append(token, log_prob, weights))
                self.parents.append(parent)
                if len(self.parents) == size:
                    break
            elif rank < size:
                self._end(before[parent].complete(log_prob, self._config.length_penalty))

    def may_improve(self, wanted: int) -> bool:
        """Whether an open hypothesis may still become one of the `wanted` best captions."""
        if not self.hypotheses or len(self.ended) < wanted:
            return bool(self.hypotheses)
        if self._config.beam_size == 1:
            return False
        # Log-probabilities only decrease, so dividing by the longest length bounds the final score.
        longest = self._config.max_length + 1
        best = max(hypothesis.sum_log_probs for hypothesis in self.hypotheses)
        bound: float = best / longest**self._config.length_penalty
        return bound > self.ended[wanted - 1].score

    def _continuations(
        self,
        parent: int,
        hypothesis: OpenHypothesis,
        words: LikelyWords,
        index: int,
        penalties: Mapping[int, float],
    ) -> Iterator[_Continuation]:
        """The continuations of a hypothesis, the most likely first; its end if no word may follow."""
        tokens, total, found = hypothesis.tokens, hypothesis.sum_log_probs, False
        if not self._constraints.must_end(tokens):
            for log_prob, token in words.after(index):
                if self._constraints.allows(tokens, token):
                    found = True
                    yield penalties.get(token, 0.0) - total - log_prob, parent, token, log_prob
        if not found:
            end = words.end(index)
            yield -total - end, parent, self._eos, end

    def _end(self, caption: Hypothesis) -> None:
        size = self._config.beam_size
        if size > 1 or not self.ended:
            self.ended = sorted([*self.ended, caption], key=lambda h: -h.score)[:size]


class ImageSearch:
    """The search of one image: one beam, or with `diversity` one for each requested caption.

    Diverse beams (Vijayakumar et al. 2018, arXiv:1610.02424) choose one after the other, and a word loses
    `diversity` for each hypothesis of the beams before that has just chosen it (also of beams whose caption
    has ended).

    Attributes:
        is_open: whether an open hypothesis may still become a caption that is returned. The search is done
            when as many hypotheses have ended as captions are wanted and no other can beat the worst of them.
        tokens: (G K,), the newest token of each hypothesis of G beams.
        parents: (G K,), which of the hypotheses before each of them extends.
    """

    def __init__(self, specials: SpecialTokens, config: SearchConfig) -> None:
        self._specials, self._config = specials, config
        count = config.num_captions if config.diversity else 1
        self._beams = [Beam(specials, config) for _ in range(count)]
        self.is_open = True
        self.tokens = [specials.bos] * count
        self.parents = [0] * count

    def extend(self, words: LikelyWords, row: int, attention: FloatArray | None) -> None:
        """Extend each beam by its best continuations (see `Beam.extend`).

        Args:
            words: the next words of all hypotheses of the batch.
            row: index of the image in the batch.
            attention: (N, R) attention weights of all hypotheses of the batch, or None.
        """
        width = len(self.tokens) // len(self._beams)  # hypotheses of a beam
        first = row * len(self.tokens)
        penalties: dict[int, float] = {}
        self.tokens, self.parents = [], []
        for start, beam in zip(itertools.count(0, width), self._beams):
            beam.extend(words, first + start, penalties, attention)
            tokens = [hypothesis.tokens[-1] for hypothesis in beam.hypotheses]
            missing = self._config.beam_size - len(tokens)  # the decoder takes K of each beam
            self.tokens += tokens + [self._specials.eos] * missing
            self.parents += [start + parent for parent in beam.parents] + [start] * missing
            if self._config.diversity:
                for token in tokens:
                    penalties[token] = penalties.get(token, 0.0) + self._config.diversity
        wanted = self._config.num_captions if len(self._beams) == 1 else self._config.beam_size
        self.is_open = any(beam.may_improve(wanted) for beam in self._beams)

    def captions(self) -> list[Hypothesis]:
        """The captions, best first; of diverse beams the best of each that no beam before has found."""
        if len(self._beams) == 1:
            return self._beams[0].ended[: self._config.num_captions]
        best: list[Hypothesis] = []
        for beam in self._beams:
            taken = {caption.tokens for caption in best}
            best.append(next((h for h in beam.ended if h.tokens not in taken), beam.ended[0]))
        return sorted(best, key=lambda h: -h.score)
