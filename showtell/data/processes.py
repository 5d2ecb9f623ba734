"""Decode images in processes: for an encoder that is faster than what threads decode."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from showtell.data.decode_ahead import Decoded, batched
from showtell.errors import ImageError

T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]

MIN_IMAGES_FOR_PROCESSES: Final = 1500
"""Images from which it pays to start processes that decode."""
_MIN_CORES: Final = 6
_MAX_PROCESSES: Final = 24
_CHUNK: Final = 8
"""Images that a process decodes at a time."""
_AHEAD: Final = 2048
"""Images that are decoded while others are encoded and their captions searched."""


def should_use_processes(count: int, size: int, views: int = 1) -> bool:
    """Whether `decode_in_processes` pays, for an encoder as fast as a GPU.

    Threads wait for the GIL: they decode about three times what one does, however many cores there are.
    Processes take about a second to start, and shared memory, of which containers often have little.

    Args:
        count: images to decode.
        size: side in pixels of a square view.
        views: made of each image.
    """
    if not sys.platform.startswith("linux") or _cores() < _MIN_CORES or count < MIN_IMAGES_FOR_PROCESSES:
        return False
    return _room(size, views) >= 2 * _CHUNK * _workers()


def decode_in_processes(
    sources: Iterable[T], decode: Callable[[T], list[Pixels]], *, size: int, views: int = 1
) -> Generator[Decoded[T, list[Pixels]], None, None]:
    """Decode `sources` in processes, one per core, and yield them in order; see `decode_ahead`.

    Args:
        sources: what to decode; picklable, since they go to the processes: what comes back are copies. About
            two thousand are taken before the first is yielded.
        decode: makes arrays (H, W, 3) uint8 of a source, or raises ImageError. It goes to the processes by
            fork, with all that it refers to.
        size: side in pixels of a square view.
        views: arrays that `decode` makes.
    """
    workers = _workers()
    loader: DataLoader[_Chunk[T]] = DataLoader(
        _Decoding(decode),
        batch_sampler=batched(sources, _CHUNK),  # lists of sources, as indices
        collate_fn=_same,
        num_workers=workers,
        prefetch_factor=max(2, _room(size, views) // (_CHUNK * workers)),
        multiprocessing_context="fork",
        worker_init_fn=_ignore_interrupts,
    )
    with warnings.catch_warnings():
        # Python warns of locks that other threads may hold; what runs after the fork takes none of theirs.
        warnings.filterwarnings("ignore", "This process .*is multi-threaded, use of fork", DeprecationWarning)
        chunks = iter(loader)
    for chunk in chunks:
        yield from chunk.unpacked()


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers() -> int:
    return min(_MAX_PROCESSES, max(1, _cores() - 1))


def _room(size: int, views: int) -> int:
    """Images that are decoded ahead: `_AHEAD`, or what half of the free shared memory holds."""
    return min(_AHEAD, shutil.disk_usage("/dev/shm").free // 2 // (size * size * 3 * views))


@dataclass(frozen=True)
class _Chunk(Generic[T]):
    """Decoded sources on their way from a process: their pixels in one tensor, which is not copied.

    Attributes:
        sources: N.
        results: for each source the shapes of its arrays, or why there are none.
        pixels: of all arrays, end to end.
    """

    sources: list[T]
    results: list[list[tuple[int, ...]] | ImageError]
    pixels: torch.Tensor

    def unpacked(self) -> Iterator[Decoded[T, list[Pixels]]]:
        """The sources one by one; the arrays share the memory of `pixels`."""
        flat, begin = self.pixels.numpy(), 0
        for source, result in zip(self.sources, self.results, strict=True):
            if isinstance(result, ImageError):
                yield Decoded(source, None, result)
                continue
            arrays = []
            for shape in result:
                end = begin + math.prod(shape)
                arrays.append(flat[begin:end].reshape(shape))
                begin = end
            yield Decoded(source, arrays)


class _Decoding(Dataset[Any]):
    """The loop of a worker process: decodes lists of sources."""

    def __init__(self, decode: Callable[[T], list[Pixels]]) -> None:
        self.decode: Callable[[Any], list[Pixels]] = decode

    def __getitems__(self, sources: list[Any]) -> _Chunk[Any]:
        results: list[list[tuple[int, ...]] | ImageError] = []
        arrays: list[Pixels] = []
        for source in sources:
            try:
                decoded = self.decode(source)
            except ImageError as error:
                results.append(error)
            else:
                results.append([array.shape for array in decoded])
                arrays += decoded
        flat = [array.ravel() for array in arrays] or [np.empty(0, np.uint8)]
        return _Chunk(sources, results, torch.from_numpy(np.concatenate(flat)))


def _same(chunk: Any) -> Any:
    return chunk


def _ignore_interrupts(_: int) -> None:
    """Leave Ctrl-C to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
