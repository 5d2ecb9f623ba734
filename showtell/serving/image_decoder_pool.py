"""A pool of processes that decode untrusted images within limits of time and memory.

An image is decoded in a process whose processor time, time and memory are limited by the operating system,
and which is replaced when it was ended (see `showtell.data.image_decoder_worker`). Images that should decode
quickly by their headers share the quick decoders, one per core. The others, and those that turned out to be
slower or larger than that, share a few patient decoders of lower priority, the cheapest image first: ordinary
photos are decoded whatever the patient decoders are busy with.
"""

from __future__ import annotations

import itertools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from showtell.config import ServingConfig
from showtell.data.decode_ahead import decode_threads
from showtell.data.image_decoder_worker import Outcome, WorkerSettings
from showtell.errors import ImageError
from showtell.serving.decode_cost import estimate_decode_seconds
from showtell.serving.image_decoder_process import (
    DecodeLimitError,
    ImageDecoderProcess,
    ImageDecoderStartError,
    ImageDecoderStoppedError,
)

log = logging.getLogger(__name__)

QUICK_SECONDS: Final = 0.2
"""Estimated seconds up to which an image goes to the quick decoders."""
_QUICK_PIXELS: Final = 16_000_000
"""The quick decoders have the memory for images of so many pixels."""
_BYTES_PER_PIXEL: Final = 24
"""Memory of the costliest kinds: RGBA of 8 bit, grey of 32."""
_LEAST_MEMORY: Final = 256 * 2**20
_RETRY_SECONDS: Final = 10.0
"""Between attempts to start a decoder while none can be started."""
_NICENESS: Final = 10
"""The patient decoders get about a tenth of a core while the others have work for all."""


@dataclass(eq=False)
class DecodeTask:
    """An image on its way through the decoders.

    Attributes:
        image: the bytes of its file; empty when it is done.
        done: called once with this object, in a thread of the decoders.
        estimate: seconds that decoding should take.
        pixels: (H, W, 3) uint8, or None.
        error: why `pixels` is None; None too if it was cancelled.
        seconds: that decoding took.
        cancelled: whether nobody waits for it any more.
    """

    image: bytes
    done: Callable[[DecodeTask], None]
    estimate: float
    pixels: npt.NDArray[np.uint8] | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    cancelled: bool = False
    patient_process: ImageDecoderProcess | None = field(default=None, repr=False)


class _Lane:
    """A queue, cheapest first or in order, and decoders that share it."""

    def __init__(
        self, name: str, processes: int, settings: WorkerSettings, work: Callable[[ImageDecoderProcess], None]
    ) -> None:
        self.queue: queue.PriorityQueue[tuple[float, int, DecodeTask | None]] = queue.PriorityQueue()
        self.processes = [ImageDecoderProcess(settings) for _ in range(processes)]
        self.threads = [
            threading.Thread(target=work, args=(process,), name=f"{name}-decoder-{number}", daemon=True)
            for number, process in enumerate(self.processes)
        ]
        self._numbers = itertools.count()

    def put(self, rank: float, task: DecodeTask | None) -> None:
        self.queue.put((rank, next(self._numbers), task))

    def finish(self, until: float) -> None:
        """Let the threads end when the queue is empty; those that are not done by then are ended."""
        started = [thread for thread in self.threads if thread.ident is not None]
        for _ in started:
            self.put(math.inf, None)
        for thread in started:
            thread.join(max(0.0, until - time.monotonic()))


class ImageDecoderPool:
    """Decodes images within the limits of a service.

    Args:
        size: of the images for the encoder (`ImageTransform.size`).
        config: `max_pixels`, `decode_seconds` and `time_limit` are read.
    """

    def __init__(self, size: int, config: ServingConfig) -> None:
        self.config = config
        quick_pixels = min(_QUICK_PIXELS, config.max_pixels)
        threads = decode_threads()
        self._quick = _Lane("quick", threads, _settings(size, config, quick_pixels, 0), self._work_quickly)
        self._patient = _Lane(
            "patient",
            max(1, threads // 4),
            _settings(size, config, config.max_pixels, _NICENESS),
            self._work_patiently,
        )
        self._lock = threading.Lock()
        self._ended = False
        self._quick_pending = 0
        self._works = True
        self._prepared = threading.Event()  # one of the quick decoders is ready, or cannot be

    @property
    def works(self) -> bool:
        """Whether processes can be started."""
        return self._works

    @property
    def quick_pending(self) -> int:
        """Images that wait for a quick decoder, or are in one."""
        return self._quick_pending

    def start(self) -> None:
        """Start the decoders, and wait until one of them is ready.

        Raises:
            ImageDecoderStartError: the processes cannot be started.
        """
        for lane in (self._quick, self._patient):
            for thread in lane.threads:
                thread.start()
        self._prepared.wait()
        if not self._works:
            raise ImageDecoderStartError("image decoder processes cannot be started; see the line before")

    def submit(self, image: bytes, done: Callable[[DecodeTask], None]) -> DecodeTask:
        """Decode an image.

        Args:
            image: the bytes of its file.
            done: is called in another thread when it is decoded, or cannot be.
        """
        task = DecodeTask(image, done, estimate_decode_seconds(image))
        if task.estimate <= QUICK_SECONDS:
            self._count_quick(1)
            self._quick.put(0.0, task)
        else:
            self._patient.put(task.estimate, task)
        return task

    def cancel(self, task: DecodeTask) -> None:
        """Do not decode an image that nobody waits for any more; if a patient decoder is at it, end that."""
        with self._lock:
            task.cancelled = True
            task.image = b""  # it may stay in its queue for long
            if task.patient_process is not None:
                task.patient_process.kill()

    def close(self, patience: float) -> None:
        """Finish what was taken, for up to `patience` seconds, and end all processes."""
        until = time.monotonic() + patience
        self._quick.finish(until)
        self._patient.finish(until)
        self._ended = True
        for lane in (self._quick, self._patient):
            for thread, process in zip(lane.threads, lane.processes, strict=True):
                while thread.is_alive():
                    process.kill()
                    thread.join(0.1)
                process.close()

    def kill(self) -> None:
        """End all processes at once, whatever they do, and start no others."""
        self._ended = True
        for process in (*self._quick.processes, *self._patient.processes):
            process.kill()

    def _count_quick(self, change: int) -> None:
        with self._lock:
            self._quick_pending += change

    def _work_quickly(self, process: ImageDecoderProcess) -> None:
        while (task := self._next_quick(process)) is not None:
            promoted = False
            if not self._skips(task):
                try:
                    self._decode(task, process, 0.15 + 3 * task.estimate)
                except DecodeLimitError as error:
                    promoted = error.outcome in (Outcome.TOO_SLOW, Outcome.TOO_LARGE)
                    task.error = _as_image_error(error.outcome)
            self._count_quick(-1)
            if promoted and not self._ended:
                task.error, task.estimate = None, self.config.decode_seconds
                self._patient.put(task.estimate, task)
            else:
                _finish(task)

    def _next_quick(self, process: ImageDecoderProcess) -> DecodeTask | None:
        """The next image, taken when the process is ready: others may be so before."""
        while True:
            try:
                if not self._ended:
                    process.prepare()
                    self._works = True
            except ImageDecoderStoppedError:  # the service ends
                pass
            except Exception as error:  # so long as that lasts, each image gets this error
                log.error("%s", error)  # noqa: TRY400 - one line
                self._works = False
            self._prepared.set()
            try:  # a service that is not ready gets no images: it must find out by itself that it is again
                return self._quick.queue.get(timeout=None if self._works else _RETRY_SECONDS)[2]
            except queue.Empty:
                continue

    def _work_patiently(self, process: ImageDecoderProcess) -> None:
        while (task := self._patient.queue.get()[2]) is not None:
            with self._lock:
                task.patient_process = process
            if not self._skips(task):
                try:
                    self._decode(task, process, self.config.decode_seconds)
                except DecodeLimitError as error:
                    task.error = _as_image_error(error.outcome)
            with self._lock:  # from here on a call of `cancel` must not end the process
                task.patient_process = None
            _finish(task)

    def _skips(self, task: DecodeTask) -> bool:
        return task.cancelled or self._ended

    def _decode(self, task: DecodeTask, process: ImageDecoderProcess, cpu_seconds: float) -> None:
        start = time.monotonic()
        try:
            task.pixels = process.decode(
                task.image, cpu_seconds, self.config.time_limit, lambda: self._skips(task)
            )
            self._works = True
        except ImageError as error:
            task.error = error
        except ImageDecoderStoppedError:
            task.error = _as_image_error(Outcome.CRASHED)
        except DecodeLimitError:
            raise
        except Exception as error:  # whatever it is, who waits for it must get it
            log.exception("a decoder failed")
            task.error, self._works = error, not isinstance(error, ImageDecoderStartError)
        finally:
            task.seconds += time.monotonic() - start


def _settings(size: int, config: ServingConfig, pixels: int, niceness: int) -> WorkerSettings:
    return WorkerSettings(size, config.max_pixels, _LEAST_MEMORY + _BYTES_PER_PIXEL * pixels, niceness)


def _as_image_error(outcome: Outcome) -> ImageError:
    advice = "save it again, smaller or as an ordinary JPEG"
    reasons = {
        Outcome.TOO_SLOW: f"it takes too long to decode; {advice}",
        Outcome.TOO_LARGE: f"it takes too much memory to decode; {advice}",
    }
    return ImageError("<image data>", reasons.get(outcome, "damaged: its decoder crashed"))


def _finish(task: DecodeTask) -> None:
    task.image = b""
    task.done(task)
