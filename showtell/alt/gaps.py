"""Pictures of pages that have no alt text: where they are, and what fills the gap."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Syntax = Literal["html", "markdown"]


@dataclass(frozen=True)
class Gap:
    """A picture without alt text.

    Attributes:
        offset: characters before the place where the text belongs.
        source: address of the picture, as the page has it.
        syntax: how text is written there.
    """

    offset: int
    source: str
    syntax: Syntax

    def insertion(self, alt: str) -> str:
        """What has to be inserted at `offset`."""
        if self.syntax == "html":
            return f' alt="{html.escape(alt)}"'
        return re.sub(r"([\\\[\]*_`<>&])", r"\\\1", alt)


class Lines:
    """From lines and columns to offsets of a text, and back; only LF ends a line.

    Args:
        text: of the page.
    """

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self._starts = list(accumulate((len(line) + 1 for line in self.lines), initial=0))

    def offset(self, line: int, column: int) -> int:
        """Characters before a column (from 0) of a line (from 0)."""
        return self._starts[line] + column

    def line(self, offset: int) -> int:
        """The line (from 0) of an offset."""
        return bisect_right(self._starts, offset) - 1


def fill(text: str, texts: Sequence[tuple[Gap, str]]) -> str:
    """The page with alt texts in their gaps; nothing else of it is changed."""
    for gap, alt in sorted(texts, key=lambda pair: -pair[0].offset):
        text = text[: gap.offset] + gap.insertion(alt) + text[gap.offset :]
    return text
