"""Searches and drawn captions recorded as CUDA graphs: a GPU repeats them without waiting for Python.

A step of a decoder is some eighty small kernels, which take a GPU less time than Python takes to launch them.
A graph holds all kernels of a batch of one size, and is launched at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

import torch
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder.base import StepDecoder
from showtell.decoder.tensor_search import Found, TensorBeams
from showtell.search import Hypothesis, Specials

R = TypeVar("R")

_RUNS_BEFORE: Final = 1
"""Runs of a batch size before it is recorded, which costs as much as a few."""
_MOST_GRAPHS: Final = 12


class Captured(Generic[R]):
    """A function of tensors of fixed shapes, recorded.

    What it reads besides its arguments, such as weights, is read anew where it lies at each call.

    Args:
        function: launches kernels only: it must not wait for the GPU, nor copy from or to the CPU.
        arguments: of the shapes and types that all calls will have.
    """

    def __init__(self, function: Callable[..., R], *arguments: Tensor) -> None:
        self._function = function  # kept: the graph reads the tensors that it refers to at each call
        self._arguments = tuple(argument.clone() for argument in arguments)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries set themselves up outside of the graph
            for _ in range(2):
                function(*self._arguments)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._result = function(*self._arguments)

    def __call__(self, *arguments: Tensor) -> R:
        """The result for these arguments, whose first rows may be fewer; the next call overwrites it."""
        for place, argument in zip(self._arguments, arguments, strict=True):
            place[: len(argument)].copy_(argument)
        self._graph.replay()
        return self._result


class CapturedSearch:
    """The beam searches of a decoder whose weights stay: recorded for batch sizes that come again.

    Args:
        decoder: on a GPU.
        specials: ids of the special tokens.
    """

    def __init__(self, decoder: StepDecoder, specials: Specials) -> None:
        self.decoder, self.specials = decoder, specials
        self._runs: Counter[Hashable] = Counter()
        self._captured: dict[Hashable, Captured[Found]] = {}

    def __call__(
        self, features: Tensor, config: SearchConfig, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Search captions for features (B, R, D) (see `searches_on_device`).

        Raises:
            ModelError: the decoder's logits are not finite.
        """
        images = len(features)
        size = _next_size(images)
        key = (size, features.shape[1:], features.dtype, config, attention)
        beams = TensorBeams(self.decoder.step, self.specials, config, attention)
        self._runs[key] += 1
        if key not in self._captured:
            if self._runs[key] <= _RUNS_BEFORE or len(self._captured) >= _MOST_GRAPHS:
                return beams.run(self.decoder.init_state(features))
            padded = features.new_zeros(size, *features.shape[1:])
            padded[:images] = features
            self._captured[key] = Captured(
                lambda features: beams.tensors(self.decoder.init_state(features), wait=False), padded
            )
        return self._captured[key](features).hypotheses(config.num_captions, images)


def _next_size(images: int) -> int:
    """The next of 1, 2, 4, 8, ..., to which a batch is filled up."""
    return 1 << (images - 1).bit_length()
