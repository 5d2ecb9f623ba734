"""Text of strangers (names, words of a model's file) that is harmless on a terminal."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LINE_BREAKS: Final = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_JOINERS: Final = "\u200c\u200d"
"""They shape letters in Persian and Hindi words."""


def one_line(name: str) -> str:
    """A file's name as text of one line: control characters, and bytes that are no text, are escaped."""
    return name if name.isprintable() else "".join(map(_escaped, name))


def printable_words(text: str) -> str:
    """Words as text of one line: as `one_line`, but characters that join letters stay."""
    if text.isprintable():
        return text
    return "".join(char if char in _JOINERS else _escaped(char) for char in text)


def message_line(text: str) -> str:
    """A message as one line: line breaks become spaces, other control characters are escaped."""
    return text if text.isprintable() else one_line(_LINE_BREAKS.sub(" ", text).strip())


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode() if unicodedata.category(char)[0] == "C" else char
