"""Entries of a file that cannot be used: refused with the reason and the fix, or dropped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

from showtell.errors import AnnotationError

Reason = Literal[
    "missing image file",
    "several image files",
    "caption of an unknown image",
    "image without captions",
    "empty caption",
    "duplicate id",
    "duplicate image file",
    "two splits",
    "unknown split",
    "wrong fields",
    "broken JSON",
    "broken quotes",
    "not UTF-8 text",
    "unreadable file",
    "no caption of an image",
    "photo that could not be captioned",
    "empty caption, counted as wrong",
]

FIXES: dict[Reason, str] = {
    "missing image file": "put it there, or name the images' folder (--data.images; evaluate --images)",
    "several image files": "name the images' folder (--data.images; evaluate --images)",
    "caption of an unknown image": "add its image, or remove the caption",
    "image without captions": "give it a caption, or remove it",
    "empty caption": "write at least one word, or remove the caption",
    "duplicate id": "give each its own id, or remove one",
    "duplicate image file": "list each image once",
    "two splits": "put the image in one split",
    "unknown split": "use train, val or test",
    "wrong fields": "correct the entry",
    "broken JSON": "correct the line",
    "broken quotes": 'put a caption that holds quotes in quotes, and write each " inside as ""',
    "not UTF-8 text": "save the file as UTF-8",
    "unreadable file": "correct the link or the permissions",
    "no caption of an image": "caption all images of the split",
    "photo that could not be captioned": "caption it again",
    "empty caption, counted as wrong": "write at least one word",
}
EMPTY_CAPTION: Final = "empty caption, counted as wrong"
"""Reason of an empty prediction, which is not dropped."""
_CONTEXT: Final = 40  # characters shown before what is wrong
_ESCAPED: Final = 0xDC00  # what `surrogateescape` adds to a byte that is not UTF-8
SKIP_HINT = "or drop and count such entries with --skip-bad"


class EntryError(Exception):
    """One entry cannot be used; `Collector.entry` turns it into an `AnnotationError`, or counts it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that was dropped.

    Attributes:
        entry: the file, and the line or place in it.
        reason: what is wrong with it.
        detail: the value that is wrong, for people.
    """

    entry: str
    reason: Reason
    detail: str = field(default="", compare=False)

    def __str__(self) -> str:
        """The entry, what is wrong with it, and the fix."""
        return f"{self.entry}: {self.reason}{self.cure}"

    @property
    def cure(self) -> str:
        """The value that is wrong, and the fix, to be put after the reason."""
        return f"{f': {self.detail}' if self.detail else ''}; {FIXES[self.reason]}"


def first_of_each(skipped: Sequence[Skipped]) -> list[tuple[Skipped, int]]:
    """The first dropped entry of each reason and the number of its kind, the most frequent reason first."""
    first = {item.reason: item for item in reversed(skipped)}
    counts = Counter(item.reason for item in skipped)
    return [(first[reason], count) for reason, count in counts.most_common()]


class Entries:
    """Goes through the entries of files and refuses, or drops and counts, what cannot be used.

    All work on one entry happens inside `with entries.entry(name):`. Every rule that the entry breaks raises
    `EntryError` there, which becomes an `AnnotationError` or one more dropped entry.

    Args:
        skip_bad: drop and count entries that cannot be used, instead of stopping at the first.

    Attributes:
        skipped: the entries that were dropped.
    """

    def __init__(self, *, skip_bad: bool) -> None:
        self.skipped: list[Skipped] = []
        self._skip_bad = skip_bad
        self._entry = ""
        self._claimed: set[Hashable] = set()

    def entry(self, name: str) -> Self:
        """Name the entry at hand (the file, and the line or place in it), for a `with` block."""
        self._entry = name
        return self

    def __enter__(self) -> None:
        """Begin the entry."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """End the entry: raise, or drop and count it, if it broke a rule."""
        if not isinstance(error, EntryError):
            return False
        skipped = Skipped(self._entry, error.reason, error.detail)
        if not self._skip_bad:
            raise AnnotationError(f"{skipped}, {SKIP_HINT}") from error
        self.skipped.append(skipped)
        return True

    def claim(self, *key: Hashable) -> None:
        """Note an id that may come once only, as (file, kind, number).

        Raises:
            EntryError: it came before.
        """
        if key in self._claimed:
            raise EntryError("duplicate id", " ".join(map(repr, key[1:])))
        self._claimed.add(key)


def utf8_text(text: str) -> str:
    """Pass text that UTF-8 can hold: undecodable bytes and broken JSON escapes cannot be written again.

    Raises:
        EntryError: it cannot.
    """
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise EntryError("not UTF-8 text", _bad_byte(text, error.start)) from None
    return text


def _bad_byte(text: str, index: int) -> str:
    """The byte (or half of a character) at an index of a text, with what is before it."""
    before = f"after {text[max(0, index - _CONTEXT) : index]!r}" if index else "at its beginning"
    code = ord(text[index]) - _ESCAPED
    if not 0x80 <= code <= 0xFF:
        return f"half of a character, {text[index]!a}, {before}"
    windows = bytes([code]).decode("cp1252", errors="ignore")
    return f"the byte 0x{code:X} {before}" + (f" ({windows!r} in Windows-1252)" if windows else "")


def caption_text(value: object) -> str:
    """A caption as written, without white space around it.

    Raises:
        EntryError: it is not text, or has no word.
    """
    if not isinstance(value, str):
        raise EntryError("wrong fields", f"the caption is not text but {type(value).__name__}")
    if not any(map(str.isalnum, value)):
        raise EntryError("empty caption", repr(value[:60]))
    return utf8_text(value.strip())
