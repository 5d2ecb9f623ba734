"""Decoding constraints: minimum length, banned tokens, no repeated n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from showtell.config import SearchConfig
from showtell.errors import ModelError
from showtell.search.interface import (
    LOGITS_NOT_FINITE,
    NEG_INF,
    FloatArray,
    IntArray,
    SpecialTokens,
    StepScores,
    TopWords,
)


def allowed_words(
    step_scores: StepScores[Any], prefix: IntArray, specials: SpecialTokens, config: SearchConfig, groups: int
) -> tuple[TopWords, FloatArray]:
    """The most likely allowed next words, as many per hypothesis as its beam can need.

    A beam of K chooses among its 2 K best words; diverse beams also skip words that earlier groups chose. If
    constraints exclude too many of the top words, more are requested.

    Args:
        step_scores: scores of the next tokens.
        prefix: (B, K, T), so far, without the start.
        specials: ids of the special tokens.
        config: how to search.
        groups: G, number of beams that are to differ.

    Returns:
        The words, those that are not allowed with -inf; and the log-probability of the end (B, K).

    Raises:
        ModelError: the logits are not finite.
    """
    wanted = (groups + 1) * config.beam_size
    count = wanted + len(specials.banned) + 1
    end = step_scores.end()
    repeats = repeated_ngrams(prefix, config.block_ngram)
    top = _in_order(step_scores.top(count))
    words = mask_disallowed(top, end, repeats, prefix.shape[2], specials, config)
    if repeats and top.tokens.shape[2] == count and prefix.shape[2] < config.max_length:
        few = (words.log_probs > NEG_INF).sum(axis=2) < wanted
        if few.any():
            more = _in_order(step_scores.top(count + prefix.shape[2]))
            words = mask_disallowed(more, end, repeats, prefix.shape[2], specials, config)
    return words, end


def _in_order(words: TopWords) -> TopWords:
    """Equally likely words by their ids: the order of a top-k depends on the size of the batch."""
    if not (words.log_probs[:, :, 1:] >= words.log_probs[:, :, :-1]).any():
        return TopWords(words.log_probs.copy(), words.tokens)
    order = np.lexsort((words.tokens, -words.log_probs), axis=2)
    return TopWords(*(np.take_along_axis(array, order, axis=2) for array in words))  # type: ignore[arg-type]


def mask_disallowed(
    words: TopWords,
    end: FloatArray,
    repeats: Sequence[tuple[int, int, int]],
    position: int,
    specials: SpecialTokens,
    config: SearchConfig,
) -> TopWords:
    """Mask (-inf) the words that are not allowed next.

    The distribution is the model's own: masked words get -inf, the rest is not scaled up. If no word is
    allowed, the caption ends, however short it is.

    Args:
        words: (B, K, C); the log-probabilities are changed in place.
        end: (B, K), log-probability of the end.
        repeats: what `repeated_ngrams` found.
        position: T, words so far.
        specials: ids of the special tokens.
        config: `min_length`, `max_length`.

    Returns:
        `words`, or others if a caption that has to end had no end among them.

    Raises:
        ModelError: the logits are not finite.
    """
    log_probs, tokens = words
    if not np.isfinite(end).all():  # one that is not makes all log-probabilities of its hypothesis NaN
        raise ModelError(LOGITS_NOT_FINITE)
    for token in specials.banned if position >= config.min_length else (*specials.banned, specials.eos):
        log_probs[tokens == token] = NEG_INF
    for row, column, token in repeats:
        log_probs[row, column, tokens[row, column] == token] = NEG_INF
    if position == config.max_length:
        log_probs.fill(NEG_INF)
    speechless = log_probs.max(axis=2) == NEG_INF  # (B, K)
    if speechless.any():
        tokens = tokens.copy()
        tokens[speechless, 0] = specials.eos
        log_probs[speechless, 0] = end[speechless]
    return TopWords(log_probs, tokens)


def repeated_ngrams(prefix: IntArray, n: int) -> list[tuple[int, int, int]]:
    """Image, hypothesis and word where this word next would repeat an n-gram of `prefix` (B, K, T).

    Args:
        prefix: words so far.
        n: length of the n-grams; 0: none may be called repeated.
    """
    starts = prefix.shape[2] - n + 1  # places where n - 1 words are followed by another
    if not n or starts < 1:
        return []
    again = np.ones((*prefix.shape[:2], starts), bool)  # whether these are the last n - 1 words
    for offset in reversed(range(n - 1)):  # the last word first: it is new most of the time
        again &= prefix[:, :, offset : offset + starts] == prefix[:, :, offset - n + 1, None]
        if not again.any():
            return []
    return [
        (row, column, int(prefix[row, column, place + n - 1]))
        for row, column, place in np.argwhere(again).tolist()
    ]
