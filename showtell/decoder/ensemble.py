"""An ensemble of decoders that averages their word probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from showtell.decoder.base import StepDecoder
from showtell.decoder.state import SearchState, StepOutput


class EnsembleDecoder(StepDecoder):
    """The mean of the word probabilities of several decoders (as Vinyals et al. 2015, arXiv:1411.4555, 4.1).

    Args:
        members: decoders for the same features and the same words, one or more.
    """

    def __init__(self, members: Sequence[StepDecoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.has_attention = any(member.has_attention for member in members)

    def init_state(self, features: Tensor) -> SearchState:
        """See `StepDecoder.init_state`; the members' states one after the other."""
        states = [member.init_state(features) for member in self.decoders()]
        self._sizes = [(len(state.context), len(state.recurrent)) for state in states]
        return _join(states)

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        """See `StepDecoder.step`; the logits are log-probabilities."""
        outputs = []
        context, recurrent = iter(state.context), iter(state.recurrent)
        for member, (of_context, of_recurrent) in zip(self.decoders(), self._sizes, strict=True):
            own = SearchState(
                tuple(next(context) for _ in range(of_context)),
                tuple(next(recurrent) for _ in range(of_recurrent)),
            )
            outputs.append(member.step(tokens, own))
        log_probs = torch.stack([output.logits.float().log_softmax(dim=-1) for output in outputs])
        attentions = [output.attention for output in outputs if output.attention is not None]
        return StepOutput(
            log_probs.logsumexp(dim=0) - math.log(len(outputs)),
            _join([output.state for output in outputs]),
            torch.stack(attentions).mean(dim=0) if attentions else None,
        )

    def decoders(self) -> list[StepDecoder]:
        """The members."""
        return [member for member in self.members if isinstance(member, StepDecoder)]


def _join(states: Sequence[SearchState]) -> SearchState:
    return SearchState(
        tuple(tensor for state in states for tensor in state.context),
        tuple(tensor for state in states for tensor in state.recurrent),
    )
