"""`<img>` without `alt` in HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from showtell.alt.gaps import Gap, Lines
from showtell.alt.tags import ImageTag, lazy_addresses, own_addresses, read_tag
from showtell.alt.templates import MaskedText, is_templated
from showtell.errors import DataError

MARK: Final = "m-"
"""A tag that stands for something else in the text: its places are returned too."""

_SCRIPTS: Final = ("script", "style")
_TEXTS: Final = ("textarea", "title", "xmp", "iframe", "noembed", "noframes")
"""Elements in which browsers see only text."""
_MADE_BASE: Final = "its page's <base href> is made by a template"


def find_gaps(text: str, suffix: str = "") -> list[Gap]:
    """Images without alt text.

    An empty `alt` says that an image is decoration, and so do `role="presentation"` and `aria-hidden`: these
    are left alone, and so are images named by `aria-label`. What stands in scripts, styles, comments, text
    fields (`<textarea>`) and code samples of templates is no image.

    Args:
        text: the page.
        suffix: of its file, in lower case.

    Raises:
        DataError: this cannot be read as HTML.
    """
    page = MaskedText(text, suffix)
    return find_in(page.text, page)[0]


def find_in(text: str, page: MaskedText) -> tuple[list[Gap], set[int]]:
    """Gaps of a masked page, or of its parts that are HTML at their offsets; and the offsets of marks.

    Raises:
        DataError: this cannot be read as HTML.
    """
    finder = _Finder(text, page)
    try:
        finder.feed(text)
        finder.close()
    except AssertionError as error:  # Python's parser, of declarations that no browser knows either
        raise DataError(f"not HTML that can be read ({error})") from error
    return [finder.gap(tag) for tag in finder.tags if tag.is_nameless], finder.marks


class _Finder(HTMLParser):
    """Collects images, with the addresses that stand beside them in `<picture>` and `<noscript>`."""

    CDATA_CONTENT_ELEMENTS = (*_SCRIPTS, *_TEXTS)  # type: ignore[misc]  # more than Python's own

    def __init__(self, text: str, page: MaskedText) -> None:
        super().__init__()
        self.tags: list[ImageTag] = []
        self.marks: set[int] = set()
        self._page, self._lines, self._text = page, Lines(text), text
        self._base: str | None = None
        self._image: list[str] | None = None
        self._last: ImageTag | None = None  # nothing was between it and what comes now
        self._twin: ImageTag | None = None  # whose <noscript> this is

    def set_cdata_mode(self, elem: str, **options: bool) -> None:
        """Read only text until the element ends. One that never ends is none: sites leave such tags out."""
        begin = self._lines.offset(self.lineno - 1, self.offset)
        if elem in _SCRIPTS or re.compile(f"</{elem}", re.IGNORECASE).search(self._text, begin):
            super().set_cdata_mode(elem, **options)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line, column = self.getpos()
        last, self._last = self._last, None
        if tag == MARK:
            self.marks.add(self._lines.offset(line - 1, column))
        elif tag == "picture":
            self._image = []
        elif tag == "noscript":
            self._twin = last
        elif tag in ("img", "source", "base"):
            tag_read = read_tag(self._lines.offset(line - 1, column), attrs, self._page)
            if tag == "img":
                self._add(tag_read)
            elif tag == "source" and self._image is not None:
                self._image += [*lazy_addresses(tag_read.values), *own_addresses(tag_read.values)]
            elif tag == "base" and self._base is None and "href" in tag_read.values.keys() | tag_read.bound:
                self._base = tag_read.values.get("href", "").strip()

    def _add(self, tag: ImageTag) -> None:
        self.tags.append(tag)
        self._last = tag
        if self._image:
            tag.sources = self._image
        if self._twin:
            self._twin.sources += [*lazy_addresses(tag.values), *own_addresses(tag.values)]
            self._twin = None

    def handle_endtag(self, tag: str) -> None:
        if tag == "picture":
            self._image = None
        elif tag == "noscript":
            self._twin = None

    def handle_data(self, data: str) -> None:
        if data.strip():
            self._last = None

    def gap(self, tag: ImageTag) -> Gap:
        source, problem = tag.address()
        base = self._base or ""
        if is_templated(base):
            problem = problem or _MADE_BASE
        original = self._page.original
        return Gap(tag.offset + len("<img"), original(source), "html", original(base), problem)
