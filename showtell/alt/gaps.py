"""Images of pages that have no alt text: where they are, and what fills the gap."""

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
    """An image without alt text.

    Attributes:
        offset: characters before the place where the text belongs.
        source: address of the image, as the page has it.
        syntax: how text is written there.
        base: what relative addresses of the page begin with (`<base href>`); empty for the page's own folder.
        problem: why no text can be proposed for it; empty if one can.
    """

    offset: int
    source: str
    syntax: Syntax
    base: str = ""
    problem: str = ""

    def insertion(self, alt: str) -> str:
        """The text to insert at `offset`."""
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
    pieces, end = [], 0
    for gap, alt in sorted(texts, key=lambda pair: pair[0].offset):
        pieces += [text[end : gap.offset], gap.insertion(alt)]
        end = gap.offset
    return "".join([*pieces, text[end:]])
