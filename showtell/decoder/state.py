"""The recurrent state and step outputs of decoders as tensors, and their adapter to search over arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from showtell.errors import ModelError
from showtell.search import Step, StepScores, TopWords
from showtell.search.interface import LOGITS_NOT_FINITE, FloatArray, IntArray


@dataclass(frozen=True)
class SearchState:
    """The recurrent state of a decoder between steps.

    Attributes:
        context: tensors (B, ...) that belong to the image.
        memory: tensors (B, K, ...) that belong to the hypothesis.
    """

    context: tuple[Tensor, ...]
    memory: tuple[Tensor, ...]

    @property
    def images(self) -> int:
        """B."""
        return len(self.memory[0])

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.memory[0].device

    def select_images(self, rows: IntArray) -> SearchState:
        """Keep the images `rows` (B',)."""
        index = torch.from_numpy(rows).to(self.device)
        return SearchState(
            tuple(t.index_select(0, index) for t in self.context),
            tuple(t.index_select(0, index) for t in self.memory),
        )

    def select_hypotheses(self, parents: IntArray | Tensor) -> SearchState:
        """Give each image the hypotheses `parents` (B, K') of its present ones."""
        chosen = parents if isinstance(parents, Tensor) else torch.from_numpy(parents).to(self.device)
        hypotheses = self.memory[0].shape[1]
        first = torch.arange(len(chosen), device=self.device).unsqueeze(1) * hypotheses
        index = (chosen + first).flatten()
        return replace(
            self,
            memory=tuple(
                t.flatten(0, 1).index_select(0, index).unflatten(0, parents.shape) for t in self.memory
            ),
        )


@dataclass(frozen=True)
class StepOutput:
    """The output of a decoder step.

    Attributes:
        logits: (B, K, V), of the next word.
        state: after the step.
        attention: (B, K, R), where the decoder looked (sums to 1), or None where it does not attend.
    """

    logits: Tensor
    state: SearchState
    attention: Tensor | None


TensorStep = Callable[[Tensor, SearchState], StepOutput]
"""(tokens (B, K), state) -> StepOutput."""


class _TensorStepScores(StepScores[SearchState]):
    """The likeliest words are found where the logits are: only these leave a GPU."""

    def __init__(self, output: StepOutput, end: int) -> None:
        self.state, self._end, self._attention = output.state, end, output.attention
        self._log_probs = output.logits.float().log_softmax(dim=-1)
        if not self._log_probs.sum().isfinite():  # a sum passes over them faster than isfinite does
            raise ModelError(LOGITS_NOT_FINITE)

    def top(self, count: int) -> TopWords:
        found = self._log_probs.topk(min(count, self._log_probs.shape[2]), dim=2)
        return TopWords(found.values.cpu().numpy(), found.indices.cpu().numpy())

    def end(self) -> FloatArray:
        return self._log_probs[:, :, self._end].cpu().numpy().copy()  # it must not change with the rest

    def log_probs(self) -> FloatArray:
        return self._log_probs.cpu().numpy().copy()

    def attention(self) -> FloatArray | None:
        return None if self._attention is None else self._attention.float().cpu().numpy()


def as_search_step(step: TensorStep, end: int) -> Step[SearchState]:
    """A decoder's step as search takes it; `end` is the token that ends captions."""

    def following(tokens: IntArray, state: SearchState) -> _TensorStepScores:
        return _TensorStepScores(step(torch.from_numpy(tokens).to(state.device), state), end)

    return following
