"""A dynamic batcher: images of many callers share the encoder's and the search's batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from showtell.captioning.base import CaptioningModel
from showtell.captioning.caption import Caption
from showtell.config import SearchConfig, ServingConfig
from showtell.errors import ShowtellError
from showtell.serving.image_decoder_pool import DecodeTask, ImageDecoderPool
from showtell.utils.malloc import malloc_trim

log = logging.getLogger(__name__)

_INERTIA: Final = 0.8
"""How slowly the measured pace follows: the weight of what was before."""
TRIM_EVERY_SECONDS: Final = 30.0
"""Number of seconds between calls of malloc_trim."""


class BatcherBusyError(ShowtellError):
    """The queue is full, or the batcher is being closed.

    Attributes:
        retry_after: seconds after which there should be room.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """An image's captions and what they took.

    Attributes:
        captions: best first.
        decode_seconds: of the image.
        queue_seconds: that it waited for a decoder and for its batch.
        compute_seconds: of the batch that it was in: encoder and search.
        batch_size: images in that batch.
    """

    captions: tuple[Caption, ...]
    decode_seconds: float
    queue_seconds: float
    compute_seconds: float
    batch_size: int


@dataclass
class _PendingImage:
    config: SearchConfig
    attention: bool
    submitted: float = field(default_factory=time.monotonic)
    future: Future[Answer] = field(default_factory=Future)
    pixels: npt.NDArray[np.uint8] | None = None
    decode_seconds: float = 0.0


class Batcher:
    """Captions images as they come, from any thread, in batches.

    An image is decoded in a process whose time and memory are limited (see `ImageDecoderPool`). Decoded
    images wait until the model is free; then as many as there are, up to `batch_size`, go through it
    together. A batch that is not full waits up to `max_wait` seconds, as long as other images are being
    decoded quickly: a lone image never waits. Images with different search settings share the encoder's batch
    and are searched separately.

    Args:
        captioner: computes, in one thread only; never changed.
        config: all but the limits of a request are read.
        observe: called with each batch's size and seconds, in the batcher's thread.
    """

    def __init__(
        self,
        captioner: CaptioningModel,
        config: ServingConfig,
        observe: Callable[[int, float], None] | None = None,
    ) -> None:
        self.captioner, self.config, self._observe = captioner, config, observe
        self._decoder_pool = ImageDecoderPool(captioner.transform.size, config)
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._changed = threading.Condition()
        # All below is read and written with `_changed` held.
        self._ready: deque[_PendingImage] = deque()
        self._pending = 0  # jobs that were taken and have not left
        self._decoding = 0
        self._pace = 0.1  # seconds per image
        self._progress = time.monotonic()  # when an image was last captioned, or the first one came
        self._closed = False
        self._unfinished: set[Future[Answer]] = set()  # changed by single steps only, so without the lock

    def start(self) -> None:
        """Start the thread and the decoders, and caption one image: the first time is slow."""
        self._decoder_pool.start()
        self._thread.start()
        side = self.captioner.transform.size
        warm = _PendingImage(SearchConfig(), False, pixels=np.zeros((side, side, 3), np.uint8))
        with self._changed:
            self._pending += 1
            self._ready.append(warm)
            self._changed.notify_all()
        warm.future.result()

    def submit(
        self, images: Sequence[bytes], config: SearchConfig, *, attention: bool = False
    ) -> list[Future[Answer]]:
        """Take images, all or none.

        Args:
            images: the bytes of their files.
            config: how to search.
            attention: return attention weights.

        Returns:
            For each image what will hold its answer, or raise ImageError if it cannot be decoded. One that
            is cancelled in time is not computed.

        Raises:
            BatcherBusyError: there is no room for them, or the batcher is closed.
        """
        jobs = [_PendingImage(config, attention) for _ in images]
        with self._changed:
            if self._closed:
                raise BatcherBusyError("the service is shutting down", 5.0)
            if self._pending + len(jobs) > self.config.queue_length:
                raise BatcherBusyError("too many photos are waiting; try again later", self.retry_after())
            if not self._pending:
                self._progress = time.monotonic()
            self._pending += len(jobs)
            self._decoding += len(jobs)
        for job, image in zip(jobs, images, strict=True):
            task = self._decoder_pool.submit(image, partial(self._decoded, job))
            self._unfinished.add(job.future)
            job.future.add_done_callback(partial(self._finished, task))
        return [job.future for job in jobs]

    @property
    def pending(self) -> int:
        """Images that were taken and not yet answered."""
        return self._pending

    @property
    def works(self) -> bool:
        """Whether its thread runs; if not, it has broken or was closed."""
        return self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether it takes images."""
        return self.works and not self._closed

    @property
    def ready(self) -> bool:
        """Whether an image that comes now should be captioned in time.

        It is not when the queue is full, when decoders cannot be started, or when usual images have been
        waiting for `time_limit` seconds and none was captioned.
        """
        waiting = self._ready or self._decoder_pool.quick_pending
        stalled = waiting and time.monotonic() - self._progress > self.config.time_limit
        full = self._pending >= self.config.queue_length
        return self.alive and self._decoder_pool.works and not full and not stalled

    def retry_after(self) -> float:
        """Seconds that the images taken so far should still need."""
        return self._pending * self._pace

    def close(self, patience: float | None = None) -> bool:
        """Take no more, finish what was taken, and stop.

        Args:
            patience: seconds after which what is not finished is dropped; `time_limit` by default.

        Returns:
            Whether the model's thread has ended; if not, Python cannot end in an orderly way either.
        """
        until = time.monotonic() + (self.config.time_limit if patience is None else patience)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._decoder_pool.close(until - time.monotonic())
        if self._thread.ident is not None:
            self._thread.join(max(0.1, until - time.monotonic()))
        return not self._thread.is_alive()

    def drop(self) -> None:
        """Cancel all that is not being computed yet: it is too late for that."""
        for future in list(self._unfinished):
            future.cancel()

    def kill_decoders(self) -> None:
        """End the decoders, whatever they do: the process is about to end."""
        self._decoder_pool.kill()

    def _finished(self, task: DecodeTask, future: Future[Answer]) -> None:
        self._unfinished.discard(future)
        if future.cancelled():
            self._decoder_pool.cancel(task)

    def _decoded(self, job: _PendingImage, task: DecodeTask) -> None:
        job.pixels, job.decode_seconds = task.pixels, task.seconds
        with self._changed:
            self._decoding -= 1
            if job.pixels is not None:
                self._ready.append(job)
            else:
                self._pending -= 1
                self._progress = time.monotonic()
            self._changed.notify_all()
        if job.pixels is None and job.future.set_running_or_notify_cancel():
            job.future.set_exception(task.error or CancelledError())

    def _run(self) -> None:
        tidied = time.monotonic()
        while batch := self._next_batch():
            jobs = [job for job in batch if job.future.set_running_or_notify_cancel()]
            with self._changed:
                self._pending -= len(batch) - len(jobs)
            if jobs:
                self._caption(jobs)
            if time.monotonic() - tidied > TRIM_EVERY_SECONDS:
                malloc_trim()
                tidied = time.monotonic()

    def _next_batch(self) -> list[_PendingImage]:
        """The next jobs; none when the batcher is closed and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or (self._closed and not self._decoding))
            self._changed.wait_for(
                lambda: len(self._ready) >= self.config.batch_size or not self._decoder_pool.quick_pending,
                timeout=self.config.max_wait,
            )
            size = min(len(self._ready), self.config.batch_size)
            return [self._ready.popleft() for _ in range(size)]

    def _caption(self, jobs: Sequence[_PendingImage]) -> None:
        """Answer jobs; if they fail together, each by itself, so that none takes others down."""
        start = time.monotonic()
        try:
            results = caption_mixed(self.captioner, jobs)
        except Exception as error:
            log.exception("a batch of %d photos failed", len(jobs))
            if len(jobs) > 1:
                for job in jobs:
                    self._caption([job])
                return
            self._leave(1)
            jobs[0].future.set_exception(error)
            return
        seconds = time.monotonic() - start
        self._leave(len(jobs), seconds / len(jobs))
        if self._observe:
            self._observe(len(jobs), seconds)
        for job, captions in zip(jobs, results, strict=True):
            waited = start - job.submitted - job.decode_seconds
            job.future.set_result(Answer(captions, job.decode_seconds, waited, seconds, len(jobs)))

    def _leave(self, jobs: int, pace: float | None = None) -> None:
        """Make room, before the answers are known: who gets one may ask again at once."""
        with self._changed:
            self._pending -= jobs
            self._progress = time.monotonic()
            self._pace = self._pace if pace is None else _INERTIA * self._pace + (1 - _INERTIA) * pace


def caption_mixed(captioner: CaptioningModel, jobs: Sequence[_PendingImage]) -> list[tuple[Caption, ...]]:
    """Caption the decoded images of jobs: encoded together, searched with those of the same settings."""
    results: list[tuple[Caption, ...]] = [()] * len(jobs)
    features = captioner.encode_pixels([job.pixels for job in jobs if job.pixels is not None])
    for config in dict.fromkeys(job.config for job in jobs):
        indices = [index for index, job in enumerate(jobs) if job.config == config]
        attention = any(jobs[index].attention for index in indices)
        rows = features if len(indices) == len(jobs) else features[indices]
        captions = captioner.caption_features(rows, config, attention=attention)
        for index, own in zip(indices, captions, strict=True):
            results[index] = own
    return results
