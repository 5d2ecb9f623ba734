"""Decoding constraints: minimum length, banned tokens, no repeated n-grams."""

from __future__ import annotations

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
    following: StepScores[Any], prefix: IntArray, specials: SpecialTokens, config: SearchConfig, groups: int
) -> tuple[TopWords, FloatArray]:
    """The likeliest words that may follow, of each hypothesis as many as its beam may need.

    A beam of K takes its next words among its 2 K best, and where beams are to differ, after those that the
    beams before have just taken. Among the likeliest are some that are not allowed: the special tokens, and
    now and then words that would repeat an n-gram. Where these are too many, more are asked for.

    Args:
        following: the decoder's answer.
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
    count = wanted + len(specials.never) + 1
    end = following.end()
    top = _in_order(following.top(count))
    words = mask_disallowed(top, end, prefix, specials, config)
    if config.block_ngram and top.tokens.shape[2] == count and prefix.shape[2] < config.max_length:
        few = (words.log_probs > NEG_INF).sum(axis=2) < wanted
        if few.any():
            words = mask_disallowed(
                _in_order(following.top(count + prefix.shape[2])), end, prefix, specials, config
            )
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
    prefix: IntArray,
    specials: SpecialTokens,
    config: SearchConfig,
) -> TopWords:
    """Mask (-inf) the words that are not allowed next.

    The distribution is the model's own: masked words get -inf, the rest is not scaled up. Where
    no word is allowed, the caption ends, however short it is.

    Args:
        words: (B, K, C); the log-probabilities are changed in place.
        end: (B, K), log-probability of the end.
        prefix: (B, K, T), so far, without the start.
        specials: ids of the special tokens.
        config: `min_length`, `max_length`, `block_ngram`.

    Returns:
        `words`, or where a caption that has to end had no end among them, others.

    Raises:
        ModelError: the logits are not finite.
    """
    log_probs, tokens = words
    if not np.isfinite(end).all():  # one that is not makes all log-probabilities of its hypothesis NaN
        raise ModelError(LOGITS_NOT_FINITE)
    position = prefix.shape[2]
    struck = specials.never if position >= config.min_length else (*specials.never, specials.end)
    np.copyto(log_probs, NEG_INF, where=(tokens[..., None] == struck).any(axis=3))
    if config.block_ngram and position >= config.block_ngram:
        _mask_repeated_ngrams(log_probs, tokens, prefix, config.block_ngram)
    if position == config.max_length:
        log_probs.fill(NEG_INF)
    speechless = log_probs.max(axis=2) == NEG_INF  # (B, K)
    if speechless.any():
        tokens = tokens.copy()
        tokens[speechless, 0] = specials.end
        log_probs[speechless, 0] = end[speechless]
    return TopWords(log_probs, tokens)


def _mask_repeated_ngrams(log_probs: FloatArray, tokens: IntArray, prefix: IntArray, n: int) -> None:
    """Strike out in place the words (B, K, C) that would repeat an n-gram of `prefix` (B, K, T)."""
    starts = prefix.shape[2] - n + 1  # places where n - 1 words are followed by another
    again = np.ones((*prefix.shape[:2], starts), bool)  # whether these are the last n - 1 words
    for offset in range(n - 1):
        again &= prefix[:, :, offset : offset + starts] == prefix[:, :, offset - n + 1, None]
    if again.any():
        for row, column, place in np.argwhere(again).tolist():
            follower = prefix[row, column, place + n - 1]
            log_probs[row, column, tokens[row, column] == follower] = NEG_INF
