"""The summary at the end of a command."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from showtell.errors import one_line
from showtell.output.record import Record

log = logging.getLogger(__name__)

MAX_NAMED_FAILURES: Final = 3
"""Failed images that a summary names; each has had a line of its own."""


class Distinct:
    """Counts photos whose captions are fewer different ones than were asked for, and logs why at the end.

    Args:
        wanted: different captions of a photo.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._photos = self._short = 0

    def __enter__(self) -> Self:
        """Nothing to be opened."""
        return self

    def add(self, record: Record) -> None:
        """Count a photo."""
        self._photos += bool(record.captions)
        self._short += 0 < len({caption.text for caption in record.captions}) < self._wanted

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log how many photos have repeated captions, if any has."""
        if kind is None and self._short:
            log.warning(
                "%d of %d photos have fewer than %d different captions: raise --diversity (2, say) or"
                " --beam-size",
                *(self._short, self._photos, self._wanted),
            )


class Tally:
    """Counts photos, and logs a summary when its block is left at the end or by Ctrl-C.

    Args:
        file: the file that the captions are written to, if there is one.

    Attributes:
        captioned: photos that got captions.
        skipped: photos that could not be decoded.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.captioned = self.skipped = 0
        self._file = file
        self._names: list[str] = []

    def __enter__(self) -> Self:
        """Start the clock."""
        self._started = time.monotonic()
        return self

    def add(self, record: Record) -> None:
        """Count a photo."""
        if record.captions:
            self.captioned += 1
            return
        self.skipped += 1
        if len(self._names) < MAX_NAMED_FAILURES:
            self._names.append(one_line(record.image))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log the summary; one captioned photo needs none. After an error there is the error to read."""
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        if kind is not None and not stopped:
            return
        if stopped or self.skipped or self.captioned > 1:
            log.info("%s", self._summary(time.monotonic() - self._started))
        done = self.captioned + self.skipped
        if self._file and done:
            log.info("%s: %d photo%s%s", self._file, done, "s" * (done != 1), " done so far" * stopped)

    def _summary(self, seconds: float) -> str:
        text = f"captioned {self.captioned}"
        if self.skipped:
            more = self.skipped - len(self._names)
            text += f", skipped {self.skipped} ({', '.join(self._names)}{f' and {more} more' * (more > 0)})"
        text += f" in {seconds:.1f} s"
        return text + (f": {self.captioned / seconds:.1f} images/s" if self.captioned and seconds else "")
