"""Beam search with all of its bookkeeping on the device of the decoder.

`showtell.search` takes the most likely words of every step to the CPU, which a GPU waits for. Here
hypotheses, scores and finished captions stay tensors, and are copied once, at the end. Both give the same
captions: they take the same candidates in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder.state import SearchState, TensorStep
from showtell.errors import ModelError
from showtell.search import Hypothesis, SpecialTokens
from showtell.search.interface import LOGITS_NOT_FINITE, NEG_INF
from showtell.utils.devices import CopyToCPU, to_device

_CHECK_EVERY_STEP_UP_TO: Final = 32
"""For at most this many images, check after every word whether all captions are complete."""
_CHECK_EVERY_STEPS: Final = 4
"""Otherwise check after this many words: the check synchronises with the GPU."""


def searches_on_device(config: SearchConfig) -> bool:
    """Whether `TensorBeamSearch` supports this search: no sampling, no diversity."""
    return not config.sample and not config.diversity


@dataclass(frozen=True)
class _Hypotheses:
    """Hypotheses of B images, K each.

    Attributes:
        tokens: (B, K, L) word ids; L = `max_length` + 1.
        log_probs: (B, K, L) of each word, and of the end.
        sum_log_probs: (B, K) their sums, in fp64; -inf where an image has fewer hypotheses.
        attention: (B, K, L, R) attention weights for each word, or None.
    """

    tokens: Tensor
    log_probs: Tensor
    sum_log_probs: Tensor
    attention: Tensor | None

    def select(self, parents: Tensor) -> _Hypotheses:
        """Give each image the hypotheses `parents` (B, K')."""
        return _Hypotheses(
            _take(self.tokens, parents),
            _take(self.log_probs, parents),
            _take(self.sum_log_probs, parents),
            None if self.attention is None else _take(self.attention, parents),
        )

    def extended(
        self, position: int, tokens: Tensor | int, log_probs: Tensor, attention: Tensor | None
    ) -> _Hypotheses:
        """Each with one token more (B, K), at `position`; a fresh copy that may be changed."""
        self.tokens[:, :, position] = tokens
        self.log_probs[:, :, position] = log_probs
        if self.attention is not None and attention is not None:
            self.attention[:, :, position] = attention
        return replace(self, sum_log_probs=self.sum_log_probs + log_probs)

    def joined(self, others: _Hypotheses) -> _Hypotheses:
        """These and `others` of the same images."""
        attention = None
        if self.attention is not None and others.attention is not None:
            attention = torch.cat([self.attention, others.attention], dim=1)
        return _Hypotheses(
            torch.cat([self.tokens, others.tokens], dim=1),
            torch.cat([self.log_probs, others.log_probs], dim=1),
            torch.cat([self.sum_log_probs, others.sum_log_probs], dim=1),
            attention,
        )


@dataclass(frozen=True)
class _Finished:
    """The best complete captions of each image, best first: K at most.

    Attributes:
        hypotheses: with their ends.
        scores: (B, K) what they are ranked by, fp64; -inf if there is none.
        lengths: (B, K) tokens, with the end.
    """

    hypotheses: _Hypotheses
    scores: Tensor
    lengths: Tensor

    def merged(self, hypotheses: _Hypotheses, scores: Tensor, length: int, count: int) -> _Finished:
        """The `count` best of these and of new ones of one length; of equal scores the earlier one."""
        both = torch.cat([self.scores, scores], dim=1)
        lengths = torch.cat([self.lengths, torch.full_like(scores, length, dtype=torch.long)], dim=1)
        best, order = both.sort(dim=1, descending=True, stable=True)
        order = order[:, :count]
        kept = self.hypotheses.joined(hypotheses).select(order)
        return _Finished(kept, best[:, :count], lengths.gather(1, order))


@dataclass(frozen=True)
class SearchResult:
    """The result of a search, as tensors on its device.

    Attributes:
        finished: the complete captions.
        finite: () whether all logits were finite.
    """

    finished: _Finished
    finite: Tensor

    def hypotheses(self, count: int, images: int | None = None) -> list[list[Hypothesis]]:
        """The `count` best captions of each image, copied to the CPU; of the first `images`.

        Raises:
            ModelError: the decoder's logits are not finite.
        """
        return _to_hypotheses(self.finished, self.finite, count, images)


class TensorBeamSearch:
    """The search of `showtell.search.beams.BeamSearch` without diversity, over tensors.

    Args:
        step: the decoder's step.
        specials: ids of the special tokens.
        config: how to search (see `searches_on_device`).
        attention: return attention weights.
    """

    def __init__(
        self, step: TensorStep, specials: SpecialTokens, config: SearchConfig, attention: bool
    ) -> None:
        self.step, self.specials, self.config, self.keep_attention = step, specials, config, attention
        self._banned: Tensor | None = None

    def run(self, state: SearchState) -> list[list[Hypothesis]]:
        """The captions of each image, best first.

        Raises:
            ModelError: the decoder's logits are not finite.
        """
        return self.tensors(state).hypotheses(self.config.num_captions)

    def tensors(self, state: SearchState, *, wait: bool = True) -> SearchResult:
        """The hypotheses, as tensors on the device.

        Args:
            state: at the start, with one hypothesis per image.
            wait: stop when the captions of all images are complete, which waits for the device; else continue
                until the longest caption would be.
        """
        images, device = state.images, state.device
        if self._banned is None:
            self._banned = to_device(torch.tensor(self.specials.banned), device)
        last = torch.full((images, 1), self.specials.bos, device=device)
        is_open = torch.ones(images, dtype=torch.bool, device=device)
        finite = torch.ones((), dtype=torch.bool, device=device)
        beams = finished = None
        for position in range(self.config.max_length + 1):
            output = self.step(last, state)
            log_probs = output.logits.float().log_softmax(dim=2)  # (B, K, V)
            finite = finite & log_probs.sum().isfinite()
            attention = output.attention if self.keep_attention else None
            if beams is None or finished is None:
                beams, finished = self._start(images, device, attention)
            end = log_probs[:, :, self.specials.eos].clone()
            words = self._allowed(log_probs, end, beams.tokens[:, :, :position])
            finished, beams, parents = self._extend(words, end, beams, finished, is_open, position, attention)
            is_open = is_open & self._may_improve(beams, finished)
            last = beams.tokens[:, :, position]
            state = output.state.select_hypotheses(parents)
            asks = wait and (
                images <= _CHECK_EVERY_STEP_UP_TO or position % _CHECK_EVERY_STEPS == _CHECK_EVERY_STEPS - 1
            )
            if asks and not bool(is_open.any()):
                break
        assert finished is not None
        return SearchResult(finished, finite)

    def _start(
        self, images: int, device: torch.device, attention: Tensor | None
    ) -> tuple[_Hypotheses, _Finished]:
        """One empty hypothesis per image, and no complete caption."""
        longest = self.config.max_length + 1

        def empty(count: int) -> _Hypotheses:
            weights = None
            if attention is not None:
                weights = torch.zeros(images, count, longest, attention.shape[2], device=device)
            return _Hypotheses(
                torch.zeros(images, count, longest, dtype=torch.long, device=device),
                torch.zeros(images, count, longest, device=device),
                torch.zeros(images, count, dtype=torch.float64, device=device),
                weights,
            )

        count = self.config.beam_size
        scores = torch.full((images, count), NEG_INF, dtype=torch.float64, device=device)
        return empty(1), _Finished(empty(count), scores, torch.zeros_like(scores, dtype=torch.long))

    def _allowed(self, log_probs: Tensor, end: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely words that may follow: log-probabilities and ids (B, K, C), best first.

        See `showtell.search.constraints`. Equally likely words come in the order of their ids.

        Args:
            log_probs: (B, K, V), changed in place.
            end: (B, K) log-probability of the end.
            tokens: (B, K, T) so far.
        """
        config, position, stop = self.config, tokens.shape[2], self.specials.eos
        if position == config.max_length:
            return end.unsqueeze(2), torch.full_like(end, stop, dtype=torch.long).unsqueeze(2)
        assert self._banned is not None
        log_probs.index_fill_(2, self._banned, NEG_INF)
        if position < config.min_length:
            log_probs[:, :, stop] = NEG_INF
        if config.block_ngram and position >= config.block_ngram:
            _mask_repeated_ngrams(log_probs, tokens, config.block_ngram)
        speechless = log_probs.amax(dim=2) == NEG_INF  # (B, K)
        log_probs[:, :, stop] = torch.where(speechless, end, log_probs[:, :, stop])
        likely = log_probs.topk(min(2 * config.beam_size, log_probs.shape[2]), dim=2, sorted=False)
        ids, by_id = likely.indices.sort(dim=2)
        values, by_value = likely.values.gather(2, by_id).sort(dim=2, descending=True, stable=True)
        return values, ids.gather(2, by_value)

    def _extend(
        self,
        words: tuple[Tensor, Tensor],
        end: Tensor,
        beams: _Hypotheses,
        finished: _Finished,
        is_open: Tensor,
        position: int,
        attention: Tensor | None,
    ) -> tuple[_Finished, _Hypotheses, Tensor]:
        """Take the K best open continuations; of the 2 K best, those that end are kept apart.

        Returns:
            The complete captions, the open ones, and the parents (B, K) of these.
        """
        size, count = self.config.beam_size, words[0].shape[2]
        ranks = (beams.sum_log_probs.unsqueeze(2) + words[0]).flatten(1)  # (B, K C)
        ranks, flat = ranks.sort(dim=1, descending=True, stable=True)
        ranks, flat = ranks[:, : 2 * size], flat[:, : 2 * size]
        parents, tokens = flat // count, words[1].flatten(1).gather(1, flat)
        ends = tokens == self.specials.eos
        # An end counts if it is among the K best; a hypothesis of probability 0 does not count.
        counts = (ends & (ranks > NEG_INF) & is_open.unsqueeze(1))[:, :size]
        completed = beams.select(parents[:, :size])
        completed = completed.extended(position, self.specials.eos, end.gather(1, parents[:, :size]), None)
        length = position + 1
        scores = completed.sum_log_probs / length**self.config.length_penalty
        scores = torch.where(counts, scores, NEG_INF)
        finished = finished.merged(completed, scores, length, size)
        keep = ends.to(torch.uint8).sort(dim=1, stable=True).indices[:, :size]  # (B, K), best first
        kept = flat.gather(1, keep)
        parents = parents.gather(1, keep)
        attention = None if attention is None else _take(attention, parents)
        log_probs = torch.where(ends.gather(1, keep), NEG_INF, words[0].flatten(1).gather(1, kept))
        beams = beams.select(parents).extended(position, tokens.gather(1, keep), log_probs, attention)
        return finished, beams, parents

    def _may_improve(self, beams: _Hypotheses, finished: _Finished) -> Tensor:
        """Images (B,) that may still get a better caption: see `Beam.may_improve`."""
        best_open = beams.sum_log_probs.amax(dim=1)
        worst = finished.scores[:, self.config.num_captions - 1]  # -inf where captions are wanted yet
        if self.config.beam_size == 1:
            return (best_open > NEG_INF) & (worst == NEG_INF)
        longest = self.config.max_length + 1
        return (best_open > NEG_INF) & (best_open / longest**self.config.length_penalty > worst)


def _take(values: Tensor, parents: Tensor) -> Tensor:
    """The entries `parents` (B, K') of each row of `values` (B, K, ...); a copy."""
    index = parents.view(*parents.shape, *[1] * (values.dim() - 2))
    return values.gather(1, index.expand(*parents.shape, *values.shape[2:]))


def _mask_repeated_ngrams(log_probs: Tensor, tokens: Tensor, n: int) -> None:
    """Mask in place the words (B, K, V) that would repeat an n-gram of `tokens` (B, K, T)."""
    starts = tokens.shape[2] - n + 1  # positions at which n - 1 words are followed by another
    again = torch.ones(*tokens.shape[:2], starts, dtype=torch.bool, device=tokens.device)
    for offset in range(n - 1):
        again &= tokens[:, :, offset : offset + starts] == tokens[:, :, offset - n + 1, None]
    followers = tokens[:, :, n - 1 :]
    log_probs.scatter_add_(2, followers, torch.where(again, NEG_INF, 0.0))


def _to_hypotheses(
    finished: _Finished, finite: Tensor, count: int, images: int | None
) -> list[list[Hypothesis]]:
    """See `SearchResult.hypotheses`."""
    kept = finished.hypotheses
    tensors = [finished.scores, finished.lengths, kept.tokens, kept.log_probs]
    copies = [CopyToCPU(tensor[:images, :count]) for tensor in tensors]
    attention_copy = None if kept.attention is None else CopyToCPU(kept.attention[:images, :count])
    if not bool(finite):
        raise ModelError(LOGITS_NOT_FINITE)
    scores, lengths, tokens, log_probs = (copy.wait().tolist() for copy in copies)
    attention = None if attention_copy is None else attention_copy.wait().numpy()
    results: list[list[Hypothesis]] = []
    for image, of_image in enumerate(scores):
        captions = []
        for rank, score in enumerate(of_image):
            length = lengths[image][rank]
            if score == NEG_INF:
                break
            weights = None
            if attention is not None and length > 1:
                weights = attention[image, rank, : length - 1].copy()
            words, numbers = tokens[image][rank][: length - 1], log_probs[image][rank][:length]
            captions.append(Hypothesis(tuple(words), tuple(numbers), score, weights))
        results.append(captions)
    return results
