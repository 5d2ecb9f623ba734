"""Captions as lines on standard output; what cannot be captioned goes to the log."""

from __future__ import annotations

import logging
import os
import sys
from types import TracebackType
from typing import Final, Self

from tqdm import tqdm

from showtell.errors import escaped, one_line
from showtell.output.jsonl import json_line
from showtell.output.record import Record

_JOINERS: Final = "\u200c\u200d"
"""They shape letters in Persian and Hindi words."""

log = logging.getLogger(__name__)


class Screen:
    """Prints `name: caption`, a line for each caption, and leaves progress bars whole.

    Doubtful captions are marked, with their confidence.

    Args:
        json_lines: print a line of JSON for each photo instead, as a .jsonl file has it.
        keep_going: when the reader of standard output leaves (`| head`), fall silent; without it,
            BrokenPipeError ends the run.
    """

    def __init__(self, *, keep_going: bool = False, json_lines: bool = False) -> None:
        self._json_lines = json_lines
        self._keep_going = keep_going
        self._silent = False

    def __enter__(self) -> Self:
        """Nothing to be opened."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to be closed."""

    def add(self, record: Record) -> None:
        """Print a photo's captions, or log why there are none.

        Raises:
            BrokenPipeError: nobody reads standard output any more, and nothing else is to be done.
        """
        name = one_line(record.image)
        if not record.captions:
            log.warning("skipped %s: %s", name, one_line(record.error or ""))
        if self._json_lines:
            self.add_line(json_line(record).rstrip("\n"))
            return
        for caption in record.captions:
            doubt = f"  (doubtful: {caption.confidence:.0%})" if record.doubtful(caption) else ""
            self.add_line(f"{name}: {_printable_words(caption.text)}{doubt}")

    def add_line(self, line: str) -> None:
        """Print a line.

        Raises:
            BrokenPipeError: nobody reads standard output any more, and nothing else is to be done.
        """
        if self._silent:
            return
        encoding = sys.stdout.encoding or "utf-8"
        try:
            tqdm.write(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            self._silent = True
            # What Python still holds for standard output is written at its end: it must have somewhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not self._keep_going:
                raise


def _printable_words(text: str) -> str:
    """Words as text of one line: as `one_line`, but characters that join letters stay."""
    if text.isprintable():
        return text
    return "".join(char if char in _JOINERS else escaped(char) for char in text)
