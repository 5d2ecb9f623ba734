"""Pages: HTML and Markdown files, their gaps, and the image files these stand for."""

from __future__ import annotations

import codecs
import hashlib
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from showtell.alt import html
from showtell.alt.gaps import Gap, Lines, fill
from showtell.errors import DataError

HTML_SUFFIXES: Final = frozenset({".html", ".htm", ".xhtml", ".astro"})
MARKDOWN_SUFFIXES: Final = frozenset({".md", ".markdown", ".mdown", ".mdx"})
PAGE_SUFFIXES: Final = HTML_SUFFIXES | MARKDOWN_SUFFIXES


@dataclass(frozen=True)
class Page:
    """A page as it was read.

    Attributes:
        path: of the file.
        root: folder that addresses like `/images/a.jpg` begin at.
        text: of the file; bytes that are no UTF-8 are kept as surrogates.
        gaps: images without alt text, in order.
    """

    path: Path
    root: Path
    text: str
    gaps: tuple[Gap, ...]

    def line(self, gap: Gap) -> int:
        """The line (from 1) of a gap, as editors count: a carriage return that stands alone ends a line."""
        return Lines(re.sub(r"\r(?!\n)", "\n", self.text)).line(gap.offset) + 1

    @property
    def content(self) -> bytes:
        """The file's bytes, as they were read."""
        return encode(self.text)

    def filled(self, texts: Sequence[tuple[Gap, str]]) -> bytes:
        """The file's content with these alt texts."""
        return encode(fill(self.text, texts))

    def image(self, gap: Gap) -> Path:
        """The file of a gap's image.

        Raises:
            DataError: there is none that could be read.
        """
        address = gap.source.strip()
        if gap.problem:
            raise DataError(gap.problem)
        if not address:
            raise DataError("it has no address")
        try:
            parts, base = urlsplit(address), urlsplit(gap.base)
        except ValueError as error:
            raise DataError(f"its address is invalid ({error})") from error
        if parts.scheme == "data":
            raise DataError("it is embedded in the page (data: URL)")
        if parts.scheme or parts.netloc or address.startswith("\\\\"):
            raise DataError("it is on another host; nothing is downloaded")
        if base.scheme or base.netloc:
            raise DataError(f"it is on another host (<base href={gap.base}>); nothing is downloaded")
        return self._file(unquote(parts.path), unquote(base.path))

    def _file(self, name: str, base: str) -> Path:
        """The file of a path in an address; as in browsers, a backslash is a slash if no name has one."""
        slashed = (name.replace("\\", "/"), base.replace("\\", "/"))
        for last, first in ((name, base), slashed):
            full = last if last.startswith("/") else first[: first.rfind("/") + 1] + last
            if "\0" in full:
                raise DataError("its address is invalid")
            path = self.root / full.lstrip("/") if full.startswith("/") else self.path.parent / full
            try:
                is_file = path.is_file()
            except OSError as error:  # a name that no file could have
                raise DataError(f"its address is invalid ({error.strerror})") from error
            if is_file:
                return path
        if "{" in name:
            raise DataError("its address is made by a template")
        raise DataError(f"no such file: {path}")


def read_page(path: Path, root: Path) -> Page:
    """Read a page.

    Raises:
        DataError: it cannot be read, or is no UTF-8 or single-byte text.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
            raise DataError(f"{path}: not a regular file; it is left alone")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: it is UTF-16; save it as UTF-8")
    text = content.decode("utf-8", "surrogateescape")
    suffix = path.suffix.lower()
    if suffix in HTML_SUFFIXES:
        find = html.find_gaps
    else:
        from showtell.alt import markdown

        find = markdown.find_gaps
    try:
        return Page(path, root, text, tuple(find(text, suffix)))
    except DataError:
        raise
    except Exception as error:  # a fault of a parser must not end the run of a whole site
        raise DataError(f"{path}: cannot be parsed ({type(error).__name__}: {error})") from error


def digest(content: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(content).hexdigest()


def encode(text: str) -> bytes:
    """A page's bytes."""
    return text.encode("utf-8", "surrogateescape")
