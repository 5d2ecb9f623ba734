"""`<img>` without `alt` in HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Final

from showtell.alt.gaps import Gap, Lines
from showtell.errors import DataError

_SOURCES: Final = ("src", "data-src", "data-original")
_SETS: Final = ("srcset", "data-srcset")
_NAMES: Final = ("alt", "aria-label", "aria-labelledby")


def find_gaps(text: str) -> list[Gap]:
    """Pictures that say nothing to who cannot see them.

    An empty `alt` says that a picture is decoration, and so do `role="presentation"` and `aria-hidden`: these
    are left alone, and so are pictures named by `aria-label`. What stands in scripts, styles and comments is
    no picture.

    Raises:
        DataError: this cannot be read as HTML.
    """
    finder = _Finder()
    try:
        finder.feed(text)
        finder.close()
    except AssertionError as error:  # Python's parser, of declarations that no browser knows either
        raise DataError(f"not HTML that can be read ({error})") from error
    lines = Lines(text)
    return [
        Gap(lines.offset(line - 1, column + len("<img")), source, "html")
        for line, column, source in finder.found
    ]


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in reversed(attrs)}  # of two, the first one counts
        if tag == "img" and _is_nameless(values):
            self.found.append((*self.getpos(), _source(values)))


def _is_nameless(values: Mapping[str, str]) -> bool:
    decoration = values.get("role") in ("presentation", "none") or values.get("aria-hidden") == "true"
    return not decoration and not any(name in values for name in _NAMES)


def _source(values: Mapping[str, str]) -> str:
    """The picture's address; that of the real one, where a placeholder stands for it until it is seen."""
    sets = [values[name].split(",")[0].strip().split(" ")[0] for name in _SETS if name in values]
    candidates = [*(values[name].strip() for name in _SOURCES if name in values), *sets]
    real = [address for address in candidates if address and not address.startswith("data:")]
    return next(iter(real or candidates), "")
