"""Pages: HTML and Markdown files, their gaps, and the pictures these stand for."""

from __future__ import annotations

import codecs
import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from showtell.alt import html
from showtell.alt.gaps import Gap, Lines, fill
from showtell.errors import DataError

HTML_SUFFIXES: Final = frozenset({".html", ".htm", ".xhtml"})
MARKDOWN_SUFFIXES: Final = frozenset({".md", ".markdown", ".mdown"})
PAGE_SUFFIXES: Final = HTML_SUFFIXES | MARKDOWN_SUFFIXES
_TEMPLATE: Final = re.compile(r"\{\{|\{%|<%|\$\{|<\?")
_OTHERS: Final = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True)
class Page:
    """A page as it was read.

    Attributes:
        path: of the file.
        root: folder that addresses like `/images/a.jpg` begin at.
        text: of the file; bytes that are no UTF-8 are kept as surrogates.
        gaps: pictures without alt text, in order.
    """

    path: Path
    root: Path
    text: str
    gaps: tuple[Gap, ...]

    def line(self, gap: Gap) -> int:
        """The line (from 1) of a gap."""
        return Lines(self.text).line(gap.offset) + 1

    @property
    def content(self) -> bytes:
        """The file's bytes, as they were read."""
        return _encode(self.text)

    def filled(self, texts: Sequence[tuple[Gap, str]]) -> bytes:
        """The file's content with these alt texts."""
        return _encode(fill(self.text, texts))

    def patch(self, texts: Sequence[tuple[Gap, str]]) -> bytes:
        """A unified diff with these alt texts; named from the present folder, as `git apply` reads it."""
        name = Path(os.path.relpath(self.path)).as_posix()
        name += "\t" if " " in name else ""  # else patch takes the space for its end
        before, after = (_lines(text) for text in (self.text, fill(self.text, texts)))
        lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
        cut = "\n\\ No newline at end of file\n"
        return _encode("".join(line if line.endswith("\n") else line + cut for line in lines))

    def picture(self, gap: Gap) -> Path:
        """The file of a gap's picture.

        Raises:
            DataError: there is none that could be read.
        """
        address = gap.source.strip()
        if not address:
            raise DataError("it has no address")
        if _TEMPLATE.search(address):
            raise DataError("its address is made by a template")
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise DataError(f"its address makes no sense ({error})") from error
        if parts.scheme == "data":
            raise DataError("it is inside the page, not in a file")
        if parts.scheme or parts.netloc:
            raise DataError("it is elsewhere, and nothing is fetched")
        name = unquote(parts.path)
        if "\0" in name:
            raise DataError("its address makes no sense")
        path = self.root / name.lstrip("/") if name.startswith("/") else self.path.parent / name
        try:
            found = path.is_file()
        except OSError as error:  # a name that no file could have
            raise DataError(f"its address makes no sense ({error.strerror})") from error
        if not found:
            raise DataError(f"no such file: {path}")
        return path


def read_page(path: Path, root: Path) -> Page:
    """Read a page.

    Raises:
        DataError: it cannot be read, or is no UTF-8 or single-byte text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: it is UTF-16; save it as UTF-8")
    text = content.decode("utf-8", "surrogateescape")
    if path.suffix.lower() in HTML_SUFFIXES:
        return Page(path, root, text, tuple(html.find_gaps(text)))
    from showtell.alt import markdown

    return Page(path, root, text, tuple(markdown.find_gaps(text)))


def find_pages(folder: Path) -> Iterator[Path]:
    """Pages of a folder and its folders, sorted; not those of hidden folders and `node_modules`."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _OTHERS)
        for name in sorted(files):
            if Path(name).suffix.lower() in PAGE_SUFFIXES and not name.startswith("."):
                yield Path(root, name)


def digest(content: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(content).hexdigest()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _lines(text: str) -> list[str]:
    """Lines with their ends; only LF ends a line."""
    *complete, last = text.split("\n")
    return [f"{line}\n" for line in complete] + ([last] if last else [])
