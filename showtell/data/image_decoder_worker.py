"""The program of an image decoder process: it decodes images within limits of time and memory.

`showtell.serving.image_decoder_pool` starts it with pipes as standard input and output. A request is
`REQUEST` and the bytes of an image's file; the reply is `REPLY` and (H, W, 3) uint8 pixels or a reason in
UTF-8. Processor time, time and memory of each image are limited by the operating system, so the limits hold
inside any C library. Where the system can fork, the decoding is done by a child that is replaced in a
millisecond when it was ended; elsewhere the whole process ends and is started again.

It imports neither PyTorch nor the rest of showtell: it starts in a fraction of a second and takes 30 MB.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from showtell.data.transforms import ImageTransform
from showtell.errors import ImageError

REQUEST: Final = struct.Struct("<QQdd")
"""Number of the request (from 1), bytes of the image's file, seconds of processor time, seconds of time."""
REPLY: Final = struct.Struct("<QBQII")
"""Number of the request, `Outcome`, bytes that follow, height, width."""


class Outcome(IntEnum):
    """The status of a request; `PIXELS` is followed by pixels, `UNREADABLE` and `FAILED` by a reason."""

    READY = 0  # the process has started: a reply to request 0
    PIXELS = 1
    UNREADABLE = 2
    TOO_SLOW = 3
    TOO_LARGE = 4
    CRASHED = 5
    FAILED = 6


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of an image decoder process.

    Attributes:
        size: of the images for the encoder (`ImageTransform.size`).
        max_pixels: an image of more pixels is refused by its header.
        memory: bytes that decoding may allocate.
        niceness: added to the process's own: 0 as urgent as the service, 19 the least urgent.
    """

    size: int
    max_pixels: int
    memory: int
    niceness: int

    def to_json(self) -> str:
        """The argument of `main`."""
        return json.dumps(asdict(self))


def main(settings: str) -> None:
    """Answer requests until standard input ends.

    Args:
        settings: `WorkerSettings` as JSON.
    """
    worker = _Worker(WorkerSettings(**json.loads(settings)))
    worker.decode_a_sample()  # what is imported at the first image is imported before forking
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)  # C libraries warn of what is in a file
    worker.reply(0, Outcome.READY)
    if hasattr(os, "fork"):
        worker.supervise()
    else:
        worker.serve()


class _Worker:
    """Standard input and output as pipes of requests and replies."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings, self.transform = settings, ImageTransform(settings.size)
        self._busy = mmap.mmap(-1, 8)  # the number of the request that is being decoded, shared with a child
        self._requests, self._replies = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)  # nothing that a library prints gets among the replies
        for number in (signal.SIGINT, signal.SIGTERM):  # the service decides when its decoders end
            signal.signal(number, signal.SIG_IGN)
        if settings.niceness and hasattr(os, "nice"):
            os.nice(settings.niceness)

    def decode_a_sample(self) -> None:
        """Decode an image of a few pixels."""
        stream = io.BytesIO()
        Image.new("RGB", (8, 8)).save(stream, "JPEG")
        self.transform.pixels(stream.getvalue())

    def supervise(self) -> None:
        """Let a child serve; replace it when a limit or a fault of a library has ended it."""
        while True:
            child = os.fork()
            if child == 0:
                self.serve()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            number = int.from_bytes(self._busy, "little")
            # One that ended in the middle of a reply, or was killed from outside, cannot be replaced.
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL or not number:
                return
            limits = (signal.SIGPROF, signal.SIGALRM)
            self.reply(number, Outcome.TOO_SLOW if os.WTERMSIG(status) in limits else Outcome.CRASHED)

    def serve(self) -> None:
        """Answer requests in this process."""
        limit_memory(self.settings.memory)
        while header := self._read(REQUEST.size):
            number, length, cpu_seconds, seconds = REQUEST.unpack(header)
            image = self._read(length)
            self._busy[:] = number.to_bytes(8, "little")
            with ending_after(cpu_seconds, seconds):
                outcome, payload, shape = self._decode(image)
            self._busy[:] = bytes(8)
            self.reply(number, outcome, payload, shape)

    def _decode(self, image: bytes) -> tuple[Outcome, bytes, tuple[int, int]]:
        try:
            pixels = self.transform.pixels(image, max_pixels=self.settings.max_pixels)
            return Outcome.PIXELS, np.ascontiguousarray(pixels).tobytes(), (pixels.shape[0], pixels.shape[1])
        except MemoryError:
            return Outcome.TOO_LARGE, b"", (0, 0)
        except ImageError as error:
            outcome = Outcome.TOO_LARGE if isinstance(error.__cause__, MemoryError) else Outcome.UNREADABLE
            return outcome, error.reason.encode(), (0, 0)
        except Exception as error:
            return Outcome.FAILED, f"{type(error).__name__}: {error}".encode(), (0, 0)

    def _read(self, length: int) -> bytes:
        """Exactly so many bytes; none at the end of the requests. Nothing is read ahead: a child may end."""
        content = bytearray()
        while len(content) < length:
            chunk = os.read(self._requests, min(length - len(content), 2**20))
            if not chunk:
                return b""
            content += chunk
        return bytes(content)

    def reply(
        self, number: int, outcome: Outcome, payload: bytes = b"", shape: tuple[int, int] = (0, 0)
    ) -> None:
        """Write a reply."""
        rest = memoryview(REPLY.pack(number, outcome, len(payload), *shape) + payload)
        while rest:
            rest = rest[os.write(self._replies, rest) :]


def limit_memory(extra: int) -> None:
    """Let this process allocate `extra` bytes more than it has; if the system has no such limit, any."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limit = used + extra
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@contextlib.contextmanager
def ending_after(cpu_seconds: float, seconds: float) -> Iterator[None]:
    """End this process if the block takes longer, wherever it is.

    Args:
        cpu_seconds: of processor time.
        seconds: of time; the only limit on systems without interval timers.
    """
    if not hasattr(signal, "setitimer"):
        with Path(os.devnull).open("w", encoding="utf-8") as nothing:
            faulthandler.dump_traceback_later(seconds, exit=True, file=nothing)
            yield
            faulthandler.cancel_dump_traceback_later()
        return
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # SIGPROF and SIGALRM end a process by default
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main(sys.argv[1])
