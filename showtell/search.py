"""Greedy, beam search and sampling over a step function. Knows no model.

Everything is laid out as (B, K): B images with K hypotheses each, so that hypotheses of one image share
what belongs to the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from showtell.config import SearchConfig
from showtell.errors import ModelError

NEVER = float("-inf")


@dataclass(frozen=True)
class SearchState:
    """What a decoder remembers between steps.

    Attributes:
        context: tensors (B, ...) that belong to the image.
        memory: tensors (B, K, ...) that belong to the hypothesis.
    """

    context: tuple[Tensor, ...]
    memory: tuple[Tensor, ...]

    def select_images(self, rows: Tensor) -> SearchState:
        """Keep the images `rows` (B',)."""
        return SearchState(
            tuple(t.index_select(0, rows) for t in self.context),
            tuple(t.index_select(0, rows) for t in self.memory),
        )

    def select_hypotheses(self, parents: Tensor) -> SearchState:
        """Give each image the hypotheses `parents` (B, K') of its present ones."""
        return replace(self, memory=tuple(_gather(t, parents) for t in self.memory))


@dataclass(frozen=True)
class StepOutput:
    """What a step answers.

    Attributes:
        logits: (B, K, V), of the next word.
        state: after the step.
        attention: (B, K, R), where the decoder looked (sums to 1), or None where it does not attend.
    """

    logits: Tensor
    state: SearchState
    attention: Tensor | None


Step = Callable[[Tensor, SearchState], StepOutput]
"""(tokens (B, K), state) -> StepOutput."""


@dataclass(frozen=True)
class Specials:
    """The ids that search treats apart; `never` are ids that are never said."""

    start: int
    end: int
    never: tuple[int, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A caption that was found.

    Attributes:
        tokens: word ids, without start and end.
        token_log_probs: of each word, and of the end where it was reached (natural logarithm).
        score: what hypotheses are ranked by.
        attention: (T, R), where the decoder looked for each word, or None.
    """

    tokens: tuple[int, ...]
    token_log_probs: tuple[float, ...]
    score: float
    attention: Tensor | None = None

    @property
    def log_probability(self) -> float:
        """Natural logarithm of the probability of the caption."""
        return sum(self.token_log_probs)


@torch.inference_mode()
def search(
    step: Step, state: SearchState, specials: Specials, config: SearchConfig, *, attention: bool = False
) -> list[list[Hypothesis]]:
    """Find `config.num_captions` captions for each image, best first.

    Args:
        step: the decoder's step.
        state: at the start, with one hypothesis an image.
        specials: ids of the special tokens.
        config: how to search.
        attention: keep where the decoder looked.

    Returns:
        B lists of hypotheses, none of them empty.

    Raises:
        ModelError: the decoder's logits are not finite.
    """
    if config.sample:
        return _Sampling(step, specials, config, attention).run(state)
    return _Beams(step, specials, config, attention).run(state)


class _Beams:
    """Batched beam search (Graves 2012), ranked by log-probability / length ** length_penalty.

    A hypothesis that ends leaves the beam. An image is done when `beam_size` hypotheses have ended and none
    that is still open can beat the worst of them; done images leave the batch. One beam is greedy: it takes
    the likeliest word each time, so its first end is its caption.

    With `diversity` each caption asked for has a beam of its own (Vijayakumar et al. 2018, arXiv:1610.02424):
    beams choose one after the other, and a word loses `diversity` for each hypothesis of the beams before
    that has just chosen it (also of beams whose caption has ended). Beams lie beside each other: (B, G, K),
    as (B, G K).
    """

    def __init__(self, step: Step, specials: Specials, config: SearchConfig, attention: bool) -> None:
        self.step, self.specials, self.config, self.keep_attention = step, specials, config, attention
        self.groups = config.num_captions if config.diversity else 1

    def run(self, state: SearchState) -> list[list[Hypothesis]]:
        batch = state.memory[0].shape[0]
        device = state.memory[0].device
        trace = _Trace.start(batch, self.groups, self.specials.start, device)
        if self.groups > 1:
            state = state.select_hypotheses(torch.zeros(batch, self.groups, dtype=torch.long, device=device))
        self.ended: list[list[list[Hypothesis]]] = [[[] for _ in range(self.groups)] for _ in range(batch)]
        images = torch.arange(batch, device=device)  # (B,): which image a row of the batch is
        for position in range(self.config.max_length + 1):
            output = self.step(trace.tokens[:, :, -1], state)
            log_probs = allowed_log_probs(output.logits, trace.tokens, position, self.specials, self.config)
            trace, state = self._extend(trace, output, log_probs, images)
            open_rows = self._still_open(trace, images)
            if len(open_rows) == 0:
                break
            if len(open_rows) < len(images):
                images = images[open_rows]
                trace, state = trace.select_images(open_rows), state.select_images(open_rows)
        return [self._best(groups) for groups in self.ended]

    def _extend(
        self, trace: _Trace, output: StepOutput, log_probs: Tensor, images: Tensor
    ) -> tuple[_Trace, SearchState]:
        """Give each beam its best continuations."""
        words = log_probs.shape[2]
        beams = log_probs.shape[1] // self.groups
        chosen = torch.zeros_like(log_probs[:, 0])  # (B, V): how many beams before have chosen the word
        taken: list[tuple[Tensor, Tensor, Tensor]] = []
        for group in range(self.groups):
            own = slice(group * beams, (group + 1) * beams)
            totals = trace.totals[:, own].unsqueeze(2) + log_probs[:, own]  # (B, K, V)
            rank_by = totals - self.config.diversity * chosen.unsqueeze(1) if group else totals
            taken.append(self._continue(trace, group, totals, rank_by, log_probs, images))
            if group + 1 < self.groups:
                tokens = taken[-1][1]
                chosen.scatter_add_(1, tokens, torch.ones_like(tokens, dtype=chosen.dtype))
        parents, tokens, totals = (torch.cat(parts, dim=1) for parts in zip(*taken, strict=True))  # (B, G K)
        step_log_probs = log_probs.flatten(1).gather(1, parents * words + tokens)
        looked = output.attention if self.keep_attention else None
        trace = trace.append(parents, tokens, step_log_probs, totals, looked)
        return trace, output.state.select_hypotheses(parents)

    def _continue(
        self,
        trace: _Trace,
        group: int,
        totals: Tensor,
        rank_by: Tensor,
        log_probs: Tensor,
        images: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The K best open continuations of a beam by `rank_by` (B, K, V): their parents, words and totals.

        Of the 2 K best, those that end are kept apart.
        """
        beams, words = totals.shape[1:]
        size = self.config.beam_size
        ranks, flat = rank_by.flatten(1).topk(min(2 * size, beams * words), dim=1)  # (B, 2K)
        parents, tokens = flat // words + group * beams, flat % words
        ends = tokens == self.specials.end
        # An end counts where it is among the K best; a hypothesis that cannot be said does not count.
        among_best = torch.arange(ranks.shape[1], device=ranks.device) < size
        for row, rank in ((ends & among_best) & (ranks > NEVER)).nonzero().tolist():
            parent = int(parents[row, rank])
            word_log_prob = float(log_probs[row, parent, self.specials.end])
            self.ended[int(images[row])][group].append(
                trace.hypothesis(row, parent, word_log_prob, self.config.length_penalty)
            )
        keep = ranks.masked_fill(ends, NEVER).topk(min(size, ranks.shape[1]), dim=1).indices  # (B, K)
        kept = totals.flatten(1).gather(1, flat.gather(1, keep)).masked_fill(ends.gather(1, keep), NEVER)
        return parents.gather(1, keep), tokens.gather(1, keep), kept

    def _still_open(self, trace: _Trace, images: Tensor) -> Tensor:
        """Rows (B',) whose image may still get a better hypothesis."""
        best_open = trace.totals.unflatten(1, (self.groups, -1)).amax(dim=2).tolist()  # (B, G)
        rows = [
            row
            for row, (image, totals) in enumerate(zip(images.tolist(), best_open, strict=True))
            if any(map(self._may_improve, self.ended[image], totals))
        ]
        return torch.tensor(rows, dtype=torch.long, device=images.device)

    def _may_improve(self, ended: Sequence[Hypothesis], total: float) -> bool:
        """Whether a beam may still find better captions than it has, from an open one of this total."""
        # log-probabilities only fall, so at the largest divisor an open hypothesis is at its most hopeful.
        length = self.config.max_length + 1
        best = self._ranked(ended)
        full = len(best) == self.config.beam_size
        greedy = self.config.beam_size == 1
        beaten = full and (greedy or total / length**self.config.length_penalty <= best[-1].score)
        return total > NEVER and not beaten

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


class _Sampling:
    """Draws words: temperature, then the top k, then the nucleus (Holtzman et al. 2020, arXiv:1904.09751).

    Where more captions are drawn than asked for (`draws`), the likeliest by the ranking of beam search are
    kept, each once as far as there are others.
    """

    def __init__(self, step: Step, specials: Specials, config: SearchConfig, attention: bool) -> None:
        self.step, self.specials, self.config, self.keep_attention = step, specials, config, attention

    def run(self, state: SearchState) -> list[list[Hypothesis]]:
        batch, device = state.memory[0].shape[0], state.memory[0].device
        samples = max(self.config.draws, self.config.num_captions)
        generator = torch.Generator(device=device).manual_seed(self.config.seed)
        parents = torch.zeros(batch, samples, dtype=torch.long, device=device)
        trace = _Trace.start(batch, samples, self.specials.start, device)
        state = state.select_hypotheses(parents)
        same = torch.arange(samples, device=device).expand(batch, -1)
        done: list[list[Hypothesis | None]] = [[None] * samples for _ in range(batch)]
        for position in range(self.config.max_length + 1):
            output = self.step(trace.tokens[:, :, -1], state)
            log_probs = allowed_log_probs(output.logits, trace.tokens, position, self.specials, self.config)
            filtered = filter_logits(
                log_probs / self.config.temperature, self.config.top_k, self.config.top_p
            )
            probabilities = filtered.softmax(dim=-1).flatten(0, 1)  # (B K, V)
            tokens = torch.multinomial(probabilities, 1, generator=generator).view(batch, samples)
            drawn = log_probs.gather(2, tokens.unsqueeze(2)).squeeze(2)
            for row, column in (tokens == self.specials.end).nonzero().tolist():
                if done[row][column] is None:
                    done[row][column] = trace.hypothesis(
                        row, column, float(drawn[row, column]), self.config.length_penalty
                    )
            if all(hypothesis is not None for row_done in done for hypothesis in row_done):
                break
            looked = output.attention if self.keep_attention else None
            trace = trace.append(same, tokens, drawn, trace.totals + drawn, looked)
            state = output.state
        return [self._best([h for h in row if h is not None]) for row in done]

    def _best(self, drawn: Sequence[Hypothesis]) -> list[Hypothesis]:
        ranked = sorted(drawn, key=lambda h: -h.score)
        seen: set[tuple[int, ...]] = set()
        new: list[Hypothesis] = []
        again: list[Hypothesis] = []
        for hypothesis in ranked:
            (again if hypothesis.tokens in seen else new).append(hypothesis)
            seen.add(hypothesis.tokens)
        return sorted((new + again)[: self.config.num_captions], key=lambda h: -h.score)


@dataclass(frozen=True)
class _Trace:
    """Open hypotheses.

    Attributes:
        tokens: (B, K, 1 + T), with the start.
        log_probs: (B, K, T), of each word.
        totals: (B, K), their sums.
        attention: (B, K, T, R), where the decoder looked, or None.
    """

    tokens: Tensor
    log_probs: Tensor
    totals: Tensor
    attention: Tensor | None

    @classmethod
    def start(cls, batch: int, beams: int, token: int, device: torch.device) -> _Trace:
        return cls(
            torch.full((batch, beams, 1), token, dtype=torch.long, device=device),
            torch.zeros(batch, beams, 0, device=device),
            torch.zeros(batch, beams, device=device),
            None,
        )

    def append(
        self, parents: Tensor, tokens: Tensor, log_probs: Tensor, totals: Tensor, looked: Tensor | None
    ) -> _Trace:
        attention = None
        if looked is not None:
            attention = _gather(looked.unsqueeze(2), parents)
            if self.attention is not None:
                attention = torch.cat([_gather(self.attention, parents), attention], dim=2)
        return _Trace(
            torch.cat([_gather(self.tokens, parents), tokens.unsqueeze(2)], dim=2),
            torch.cat([_gather(self.log_probs, parents), log_probs.unsqueeze(2)], dim=2),
            totals,
            attention,
        )

    def select_images(self, rows: Tensor) -> _Trace:
        return _Trace(
            self.tokens[rows],
            self.log_probs[rows],
            self.totals[rows],
            None if self.attention is None else self.attention[rows],
        )

    def hypothesis(self, row: int, beam: int, end_log_prob: float, length_penalty: float) -> Hypothesis:
        """The hypothesis that ends now, with the log-probability of its end."""
        tokens = tuple(self.tokens[row, beam, 1:].tolist())
        log_probs = (*self.log_probs[row, beam].tolist(), end_log_prob)
        looked = None if self.attention is None else self.attention[row, beam].clone()
        return Hypothesis(tokens, log_probs, sum(log_probs) / len(log_probs) ** length_penalty, looked)


def allowed_log_probs(
    logits: Tensor, tokens: Tensor, position: int, specials: Specials, config: SearchConfig
) -> Tensor:
    """Log-probabilities (B, K, V) of what may be said next; -inf for what may not.

    The distribution is the model's own: what may not be said is struck out, the rest is not scaled up. Where
    no word may be said, the caption ends, however short it is.

    Args:
        logits: (B, K, V).
        tokens: (B, K, 1 + position), said so far, with the start.
        position: number of words said so far.
        specials: ids of the special tokens.
        config: `min_length`, `max_length`, `block_ngram`.

    Raises:
        ModelError: the logits are not finite.
    """
    log_probs = F.log_softmax(logits.float(), dim=-1)
    if not log_probs.isfinite().all():
        raise ModelError(
            "the decoder's logits are not finite: its weights are damaged or its training diverged; load an"
            " earlier checkpoint, or train with a lower training.learning_rate"
        )
    end = log_probs[:, :, specials.end].clone()
    log_probs[:, :, list(specials.never)] = NEVER
    if position < config.min_length:
        log_probs[:, :, specials.end] = NEVER
    if config.block_ngram and position >= config.block_ngram:
        _block_repeats(log_probs, tokens[:, :, 1:], config.block_ngram)
    if position == config.max_length:
        log_probs.fill_(NEVER)
    speechless = log_probs.amax(dim=2) == NEVER  # (B, K)
    log_probs[:, :, specials.end] = torch.where(speechless, end, log_probs[:, :, specials.end])
    return log_probs


def _block_repeats(log_probs: Tensor, words: Tensor, n: int) -> None:
    """Strike out in place the words that would repeat an n-gram of `words` (B, K, T)."""
    prefixes = words.unfold(2, n - 1, 1)[:, :, :-1]  # (B, K, T - n + 1, n - 1), each followed by a word
    last = words[:, :, -(n - 1) :].unsqueeze(2)  # (B, K, 1, n - 1)
    repeats = (prefixes == last).all(dim=3)  # (B, K, T - n + 1)
    followers = words[:, :, n - 1 :]  # (B, K, T - n + 1)
    log_probs.scatter_add_(
        2, followers, torch.zeros_like(followers, dtype=log_probs.dtype).masked_fill_(repeats, NEVER)
    )


def filter_logits(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Strike out (-inf) all but the `top_k` likeliest (0: all), then all outside the nucleus `top_p`.

    The nucleus holds the likeliest words until their probability reaches `top_p`; never less than one.

    Args:
        logits: (..., V).
        top_k: number of words to keep.
        top_p: probability to keep.
    """
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, NEVER)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        outside = probabilities.cumsum(dim=-1) - probabilities >= top_p
        outside[..., 0] = False
        logits = logits.masked_fill(outside.scatter(-1, order, outside), NEVER)
    return logits


def _gather(tensor: Tensor, parents: Tensor) -> Tensor:
    """Rows `parents` (B, K') along dimension 1 of (B, K, ...)."""
    index = parents.view(*parents.shape, *([1] * (tensor.dim() - 2)))
    return tensor.gather(1, index.expand(-1, -1, *tensor.shape[2:]))
