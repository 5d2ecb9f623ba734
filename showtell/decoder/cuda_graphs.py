"""Beam search and sampling as CUDA graphs, which avoid the launch overhead of each kernel.

A decoder step consists of about 80 small kernels that run faster than Python can launch them. A graph
contains all kernels for one batch size and is launched at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder.base import StepDecoder
from showtell.decoder.tensor_search import SearchResult, TensorBeamSearch
from showtell.search import Hypothesis, SpecialTokens

R = TypeVar("R")

_WARMUP_RUNS: Final = 1
"""Runs of a batch size before it is captured, which costs as much as a few."""
_MAX_GRAPHS: Final = 12


class CudaGraphFunction(Generic[R]):
    """A function captured as a CUDA graph, for fixed shapes.

    Other tensors that it reads, such as weights, are read from their memory at each call. One thread
    at a time may call it, and has to copy the result before another does.

    Args:
        function: launches kernels only: it must not wait for the GPU, nor copy from or to the CPU.
        arguments: of the shapes and types that all calls will have, on one GPU.
        pool: memory that graphs share which are never replayed at once (`torch.cuda.graph_pool_handle`).

    Raises:
        torch.OutOfMemoryError: the GPU has no room for it.
    """

    def __init__(self, function: Callable[..., R], *arguments: Tensor, pool: Any = None) -> None:
        self._function = function  # kept: the graph reads the tensors that it refers to at each call
        self._arguments = tuple(argument.clone() for argument in arguments)
        self._device = arguments[0].device
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):  # else streams and graphs are those of the thread's own GPU
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # libraries set themselves up outside of the graph
                for _ in range(2):
                    function(*self._arguments)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
                self._result = function(*self._arguments)

    def __call__(self, *arguments: Tensor) -> R:
        """The result for these arguments, which may have fewer rows; the next call overwrites it."""
        with torch.cuda.device(self._device):
            for place, argument in zip(self._arguments, arguments, strict=True):
                place[: len(argument)].copy_(argument)
                place[len(argument) :].zero_()
            self._graph.replay()
        return self._result


class CudaGraphSearch:
    """Beam search with frozen weights, captured as a CUDA graph per batch size that recurs.

    Several threads may call it.

    Args:
        decoder: on a GPU.
        specials: ids of the special tokens.
    """

    def __init__(self, decoder: StepDecoder, specials: SpecialTokens) -> None:
        self.decoder, self.specials = decoder, specials
        self._runs: Counter[Hashable] = Counter()
        self._captured: OrderedDict[Hashable, CudaGraphFunction[SearchResult]] = OrderedDict()
        self._pool: Any = None
        self._lock = threading.Lock()

    def __call__(
        self, features: Tensor, config: SearchConfig, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Search captions for features (B, R, D) (see `searches_on_device`).

        Raises:
            ModelError: the decoder's logits are not finite.
        """
        size = _next_size(len(features))
        key = (size, features.shape[1:], features.dtype, config, attention)
        beams = TensorBeamSearch(self.decoder.step, self.specials, config, attention)
        with self._lock:
            self._runs[key] += 1
            if key not in self._captured and self._runs[key] == _WARMUP_RUNS + 1:
                self._capture(key, beams, features, size)
            if key in self._captured:
                self._captured.move_to_end(key)
                result = self._captured[key](features)
                return result.hypotheses(config.num_captions, len(features))
        return beams.run(self.decoder.init_state(features))

    def _capture(self, key: Hashable, beams: TensorBeamSearch, features: Tensor, size: int) -> None:
        """Capture a search of `size` images, if the GPU has room; the graph used least recently may go."""
        if len(self._captured) >= _MAX_GRAPHS:
            gone, _ = self._captured.popitem(last=False)
            self._runs[gone] = 0
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        padded = features.new_zeros(size, *features.shape[1:])
        padded[: len(features)] = features
        with contextlib.suppress(torch.OutOfMemoryError):  # without a graph it takes less
            self._captured[key] = CudaGraphFunction(
                lambda features: beams.tensors(self.decoder.init_state(features), wait=False),
                padded,
                pool=self._pool,
            )


def _next_size(images: int) -> int:
    """The next of 1, 2, 4, 8, ..., to which a batch is filled up."""
    return 1 << (images - 1).bit_length()
