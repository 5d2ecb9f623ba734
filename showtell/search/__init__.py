"""Greedy search, beam search and sampling over a step function.

It depends on no model, and on no framework but NumPy. Everything is laid out as (B, K): B images with K
hypotheses each, so that hypotheses of one image share what belongs to the image.
"""

from __future__ import annotations

from typing import TypeVar

from showtell.config import SearchConfig
from showtell.search.beams import BeamSearch
from showtell.search.interface import Hypothesis, SpecialTokens, State, Step, StepScores, TopWords
from showtell.search.sampling import Sampling, filter_logits

S = TypeVar("S", bound=State)


def search(
    step: Step[S], state: S, specials: SpecialTokens, config: SearchConfig, *, attention: bool = False
) -> list[list[Hypothesis]]:
    """Find `config.num_captions` captions for each image, best first.

    Args:
        step: the decoder's step.
        state: at the start, with one hypothesis per image.
        specials: ids of the special tokens.
        config: how to search.
        attention: return attention weights.

    Returns:
        B lists of hypotheses, none of them empty.

    Raises:
        ModelError: the decoder's logits are not finite.
    """
    if not state.images:
        return []
    if config.sample:
        return Sampling(step, specials, config, attention).run(state)
    return BeamSearch(step, specials, config, attention).run(state)


__all__ = [
    "Hypothesis",
    "SpecialTokens",
    "State",
    "Step",
    "StepScores",
    "TopWords",
    "filter_logits",
    "search",
]
