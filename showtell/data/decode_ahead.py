"""Decode images in threads, ahead of whoever consumes them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from showtell.errors import ImageError

T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True)
class Decoded(Generic[T, P]):
    """A decoded image, or why there is none.

    Attributes:
        source: what was asked for.
        pixels: what was decoded, such as (H, W, 3) uint8, or None.
        error: why `pixels` is None.
    """

    source: T
    pixels: P | None
    error: ImageError | None = None


def decode_threads() -> int:
    """Threads that decode beside the encoder: one per core, at most 8 (more wait for the GIL)."""
    return min(8, os.cpu_count() or 1)


def decode_ahead(
    sources: Iterable[T],
    decode: Callable[[T], P],
    *,
    ahead: int = 64,
    workers: int | None = None,
) -> Generator[Decoded[T, P], None, None]:
    """Decode `sources` in threads and yield the images in order.

    Pillow decodes without holding the GIL, so decoding runs beside the encoder. At most `ahead`
    images are held, however many there are.

    Args:
        sources: what to decode; taken lazily.
        decode: makes pixels of a source, such as (H, W, 3) uint8, or raises ImageError.
        ahead: images that are decoded before they are asked for.
        workers: threads; by default `decode_threads()`.
    """

    def attempt(source: T) -> Decoded[T, P]:
        try:
            return Decoded(source, decode(source))
        except ImageError as error:
            return Decoded(source, None, error)

    remaining = iter(sources)
    threads = workers or decode_threads()
    with ThreadPoolExecutor(threads, "decode") as pool:
        waiting: deque[Future[Decoded[T, P]]] = deque()
        try:
            # Few at first: the first image must not wait for names that are still being typed.
            waiting.extend(pool.submit(attempt, source) for source in islice(remaining, min(threads, ahead)))
            while waiting:
                done = waiting.popleft().result()
                room = min(2, ahead - len(waiting))
                waiting.extend(pool.submit(attempt, source) for source in islice(remaining, room))
                yield done
        finally:
            for future in waiting:
                future.cancel()


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last one may be shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def batches_of_a_shape(pixels: Sequence[npt.NDArray[np.uint8]], size: int) -> Iterator[list[int]]:
    """The indices, among N images (H, W, 3), of images of one shape, at most `size` at a time."""
    indices: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(pixels):
        indices.setdefault(image.shape, []).append(index)
    for of_a_shape in indices.values():
        yield from batched(of_a_shape, size)
