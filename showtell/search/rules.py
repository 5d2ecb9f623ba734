"""What may be said."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from showtell.config import SearchConfig
from showtell.errors import ModelError
from showtell.search.interface import NEVER, FloatArray, IntArray, Specials, TopWords


def candidates_needed(config: SearchConfig, specials: Specials, position: int, groups: int) -> int:
    """Of each hypothesis, the number of likeliest words among which those of the beams surely are.

    A beam of K takes its next words among its 2 K best. Before them may come words that may not be said (the
    special tokens, the end, and those that would repeat an n-gram: at most as many as were said), and, where
    beams are to differ, those that the beams before have just taken.
    """
    struck = len(specials.never) + 1 + (position if config.block_ngram else 0)
    return 2 * config.beam_size + struck + (groups - 1) * config.beam_size


def strike(
    words: TopWords,
    end: FloatArray,
    said: IntArray,
    specials: Specials,
    config: SearchConfig,
) -> TopWords:
    """Strike out (-inf) what may not be said next.

    The distribution is the model's own: what may not be said is struck out, the rest is not scaled up. Where
    no word may be said, the caption ends, however short it is.

    Args:
        words: (B, K, C); the log-probabilities are changed in place.
        end: (B, K), log-probability of the end.
        said: (B, K, T), so far, without the start.
        specials: ids of the special tokens.
        config: `min_length`, `max_length`, `block_ngram`.

    Returns:
        `words`, or where a caption that has to end had no end among them, others.

    Raises:
        ModelError: the logits are not finite.
    """
    log_probs, tokens = words
    if np.isnan(log_probs).any() or not np.isfinite(end).all():
        raise ModelError(
            "the decoder's logits are not finite: its weights are damaged or its training diverged; load an"
            " earlier checkpoint, or train with a lower training.learning_rate"
        )
    position = said.shape[2]
    for token in specials.never if position >= config.min_length else (*specials.never, specials.end):
        log_probs[tokens == token] = NEVER
    if config.block_ngram and position >= config.block_ngram:
        _strike_repeats(log_probs, tokens, said, config.block_ngram)
    if position == config.max_length:
        log_probs.fill(NEVER)
    speechless = log_probs.max(axis=2) == NEVER  # (B, K)
    if speechless.any():
        tokens = tokens.copy()
        tokens[speechless, 0] = specials.end
        log_probs[speechless, 0] = end[speechless]
    return TopWords(log_probs, tokens)


def _strike_repeats(log_probs: FloatArray, tokens: IntArray, said: IntArray, n: int) -> None:
    """Strike out in place the words (B, K, C) that would repeat an n-gram of `said` (B, K, T)."""
    prefixes = sliding_window_view(said, n - 1, axis=2)[:, :, :-1]  # (B, K, T - n + 1, n - 1)
    last = said[:, :, None, -(n - 1) :]  # (B, K, 1, n - 1)
    for row, column, place in np.argwhere((prefixes == last).all(axis=3)):
        follower = said[row, column, place + n - 1]
        log_probs[row, column, tokens[row, column] == follower] = NEVER
