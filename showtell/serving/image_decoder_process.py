"""A process that decodes images within limits of time and memory, seen from the service."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from showtell.data.image_decoder_worker import REPLY, REQUEST, Outcome, WorkerSettings
from showtell.errors import ImageError, ShowtellError

_BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[2:];"
    " from showtell.data.image_decoder_worker import main; main(sys.argv[1])"
)
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR")


class DecodeLimitError(Exception):
    """An image took more time or memory than it was given."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


class ImageDecoderStoppedError(Exception):
    """The process ended, or was ended by `kill`, before it had replied."""


class ImageDecoderStartError(ShowtellError):
    """The process cannot be started."""


class ImageDecoderProcess:
    """A process that decodes one image at a time; it is started when it is first needed.

    All may be called by one thread only, except `kill`.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Start the process, unless it runs, and wait until it is ready.

        Raises:
            ImageDecoderStartError: it cannot be started.
            ImageDecoderStoppedError: `kill` was called.
        """
        if self._process is not None and (self._killed or self._process.poll() is not None):
            self.close()  # it was ended after its last reply
        if self._process is None:
            self._start()
            try:
                self._receive(0)
            except (OSError, EOFError, ValueError) as error:
                code = self.close()
                if self._killed:
                    raise ImageDecoderStoppedError("ended before it was ready") from error
                raise ImageDecoderStartError(
                    f"an image decoder process cannot be started (exit code {code})"
                ) from error

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, self.settings.to_json(), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            process_group=0 if hasattr(os, "killpg") else None,
        )
        with self._lock:
            self._process, self._killed = process, False

    def decode(
        self,
        image: bytes,
        cpu_seconds: float,
        seconds: float,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> npt.NDArray[np.uint8]:
        """Decode an image for the encoder.

        Args:
            image: the bytes of its file.
            cpu_seconds: of processor time that it may take.
            seconds: of time that it may take.
            cancelled: asked once the process is ready. A call of `kill` before then ends nothing, because the
                process is started again: whoever calls it lets `cancelled` return True first.

        Returns:
            (H, W, 3) uint8.

        Raises:
            ImageError: the image cannot be decoded.
            DecodeLimitError: it takes more time or memory than is allowed.
            ImageDecoderStoppedError: `kill` was called, `cancelled` returned true, or the process was ended
                from outside.
            ImageDecoderStartError: the process cannot be started.
            RuntimeError: decoding failed for another reason than the image.
        """
        self.prepare()
        if cancelled():
            raise ImageDecoderStoppedError("cancelled before it was decoded")
        number = next(self._numbers)
        try:
            self._send(REQUEST.pack(number, len(image), cpu_seconds, seconds), image)
            outcome, payload, shape = self._receive(number)
        except (OSError, EOFError, ValueError) as error:
            raise ImageDecoderStoppedError(f"exit code {self.close()}") from error
        match outcome:
            case Outcome.PIXELS:
                return np.frombuffer(bytearray(payload), np.uint8).reshape(*shape, 3)
            case Outcome.UNREADABLE:
                raise ImageError(f"<image data of {len(image)} bytes>", payload.decode())
            case Outcome.FAILED:
                raise RuntimeError(f"decoding failed: {payload.decode()}")
        raise DecodeLimitError(outcome)

    def _send(self, *parts: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise EOFError
        for part in parts:
            process.stdin.write(part)
        process.stdin.flush()

    def _receive(self, number: int) -> tuple[Outcome, bytes, tuple[int, int]]:
        answered, outcome, length, height, width = REPLY.unpack(self._read(REPLY.size))
        if answered != number:
            raise EOFError
        return Outcome(outcome), self._read(length), (height, width)

    def _read(self, length: int) -> bytes:
        process = self._process
        content = process.stdout.read(length) if process and process.stdout else b""
        if len(content) != length:
            raise EOFError
        return content

    def kill(self) -> None:
        """End the process, whatever it does; `decode` then raises, and the next one starts another."""
        with self._lock:
            if self._process is not None and self._process.returncode is None:
                self._killed = True
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()

    def close(self) -> int | None:
        """End the process and wait for that; its exit code, or None if there was none."""
        process = self._process
        if process is None:
            return None
        if process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(OSError):  # what was not yet written cannot be any more
                process.stdin.close()
            process.stdout.close()
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            process.wait()
        with self._lock:
            self._process = None
        return process.returncode
