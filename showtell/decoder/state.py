"""The recurrent state and step outputs of decoders as tensors, and their adapter to `showtell.search`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
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
        recurrent: tensors (B, K, ...) that belong to the hypothesis.
    """

    context: tuple[Tensor, ...]
    recurrent: tuple[Tensor, ...]

    @property
    def images(self) -> int:
        """Number of images, B."""
        return len(self.recurrent[0])

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.recurrent[0].device

    def select_images(self, rows: IntArray) -> SearchState:
        """Keep the images `rows` (B',)."""
        index = torch.from_numpy(rows).to(self.device)
        return SearchState(
            tuple(t.index_select(0, index) for t in self.context),
            tuple(t.index_select(0, index) for t in self.recurrent),
        )

    def select_hypotheses(self, parents: IntArray | Tensor) -> SearchState:
        """Give each image the hypotheses `parents` (B, K') of its present ones."""
        hypotheses = self.recurrent[0].shape[1]
        if isinstance(parents, Tensor):
            first = torch.arange(len(parents), device=self.device).unsqueeze(1) * hypotheses
            index = (parents + first).flatten()
        else:
            flat = (parents + np.arange(len(parents))[:, None] * hypotheses).ravel()
            index = torch.from_numpy(flat).to(self.device)
        return replace(
            self,
            recurrent=tuple(
                t.flatten(0, 1).index_select(0, index).unflatten(0, parents.shape) for t in self.recurrent
            ),
        )


@dataclass(frozen=True)
class StepOutput:
    """The output of a decoder step.

    Attributes:
        logits: (B, K, V), of the next word.
        state: after the step.
        attention: (B, K, R) attention weights, which sum to 1, or None for decoders without attention.
    """

    logits: Tensor
    state: SearchState
    attention: Tensor | None


TensorStep = Callable[[Tensor, SearchState], StepOutput]
"""(tokens (B, K), state) -> StepOutput."""


class _TensorStepScores(StepScores[SearchState]):
    """The most likely words are found on the device of the logits: only these leave a GPU."""

    def __init__(self, output: StepOutput, end: int) -> None:
        self.state, self._end, self._attention = output.state, end, output.attention
        self._log_probs = output.logits.float().log_softmax(dim=-1)
        if not math.isfinite(self._log_probs.sum().item()):  # a sum takes less time than isfinite
            raise ModelError(LOGITS_NOT_FINITE)

    def top(self, count: int) -> TopWords:
        values, indices = blockwise_topk(self._log_probs, min(count, self._log_probs.shape[2]))
        return TopWords(values.cpu().numpy(), indices.cpu().numpy())

    def end(self) -> FloatArray:
        return self._log_probs[:, :, self._end].cpu().numpy().copy()  # it must not change with the rest

    def log_probs(self) -> FloatArray:
        return self._log_probs.cpu().numpy().copy()

    def attention(self) -> FloatArray | None:
        return None if self._attention is None else self._attention.float().cpu().numpy()


_BLOCK: Final = 64
_MANY_ROWS: Final = 24


def blockwise_topk(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of `values` (B, K, V), largest first, and their indices: (B, K, count) each.

    On a CPU `topk` takes longer than the product that makes logits of many rows. The largest values are in
    the blocks with the largest maxima, and of those `topk` has fewer to compare.
    """
    blocks = values.shape[2] // _BLOCK
    rows = values.flatten(0, 1)
    if values.device.type != "cpu" or len(rows) < _MANY_ROWS or blocks < 4 * count:
        top = values.topk(count, dim=2)
        return top.values, top.indices
    whole = rows[:, : blocks * _BLOCK].unflatten(1, (blocks, _BLOCK))
    best = whole.amax(dim=2).topk(count, dim=1, sorted=False).indices  # (B K, count) blocks
    positions = (best.unsqueeze(2) * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    rest = torch.arange(blocks * _BLOCK, rows.shape[1]).expand(len(rows), -1)
    positions = torch.cat([positions, rest], dim=1)
    top = rows.gather(1, positions).topk(count, dim=1)
    shape = values.shape[:2]
    return top.values.unflatten(0, shape), positions.gather(1, top.indices).unflatten(0, shape)


def as_search_step(step: TensorStep, end: int) -> Step[SearchState]:
    """A decoder's step as search takes it; `end` is the token that ends captions."""

    def search_step(tokens: IntArray, state: SearchState) -> _TensorStepScores:
        return _TensorStepScores(step(torch.from_numpy(tokens).to(state.device), state), end)

    return search_step
