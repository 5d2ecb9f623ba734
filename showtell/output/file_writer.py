"""Files that are written bit by bit, and get their name when they are complete."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from showtell.errors import UsageError
from showtell.output.record import Record
from showtell.utils.files import durable_rename, reraise_os_error

log = logging.getLogger(__name__)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the end of the block, so that it does not fall into the middle of a line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def remember(_signal: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


class FileWriter(ABC):
    """Writes records to a text file as they come, in constant memory.

    They go to a file beside it, named `<name>.<random>.partial`. That file takes the name in one step when
    the block is left, after Ctrl-C too: then it holds what was done. After an error or a kill it stays as
    it is, for whoever wants to look at it, and what was there before under the name is untouched.

    Text is UTF-8; bytes of a file name that are no text are escaped, in the way that JSON reads back.

    Args:
        path: the file to write or replace.

    Attributes:
        count: records taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        self.count = 0

    @abstractmethod
    def format(self, record: Record) -> str:
        """The text of a record."""

    def head(self) -> str:
        """The text before the records."""
        return ""

    def foot(self) -> str:
        """The text after the records."""
        return ""

    def __enter__(self) -> Self:
        """Open the file under its temporary name; missing folders are made.

        Raises:
            UsageError: it cannot be written there.
        """
        with reraise_os_error(self.path, UsageError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.partial.open("x", encoding="utf-8", errors="backslashreplace", newline="")
        self._write(self.head())
        return self

    def add(self, record: Record) -> None:
        """Write a record.

        Raises:
            ShowtellError: the file cannot be written (no room).
        """
        text = self.format(record)
        with uninterrupted():
            self._write(text)
            self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the file its name; unless there was an error, or nothing was done before Ctrl-C."""
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        with uninterrupted():
            if kind is None or (interrupted and self.count):
                self._finish()
            else:
                self._abandon()

    def _write(self, text: str) -> None:
        with reraise_os_error(self.path):
            self._file.write(text)
            self._file.flush()

    def _finish(self) -> None:
        self._write(self.foot())
        with reraise_os_error(self.path):
            os.fsync(self._file.fileno())
            self._file.close()
            durable_rename(self.partial, self.path)

    def _abandon(self) -> None:
        with suppress(OSError):  # the first error is the one that is raised
            self._file.close()
        if self.count:
            log.warning("%s: what was done before the error", self.partial)
        else:
            self.partial.unlink(missing_ok=True)
