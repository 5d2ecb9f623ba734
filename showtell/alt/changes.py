"""From proposals to a patch, or to changed files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from showtell.alt.backup import Backup
from showtell.alt.gaps import Gap
from showtell.alt.pages import Page
from showtell.alt.survey import Missing
from showtell.errors import DataError


class Changes:
    """Collects the texts of pages; writes those of pictures as they come.

    Args:
        backup: what files are changed through; without it none is.

    Attributes:
        failed: file -> why it could not be changed.
    """

    def __init__(self, backup: Backup | None) -> None:
        self.backup = backup
        self.failed: dict[str, str] = {}
        self._pages: dict[Path, tuple[Page, list[tuple[Gap, str]]]] = {}

    def add(self, missing: Missing, alt: str) -> None:
        """Take a text; of a picture of its own, the description is written at once."""
        if missing.page and missing.gap:
            self._pages.setdefault(missing.page.path, (missing.page, []))[1].append((missing.gap, alt))
        elif self.backup:
            self._change(missing.picture, partial(_described, missing.picture, alt))

    def patch(self) -> bytes:
        """A patch of all pages."""
        return b"".join(page.patch(texts) for page, texts in self._pages.values())

    def write_pages(self) -> None:
        """Write the texts into their pages; those of a page all at once."""
        for page, texts in self._pages.values():
            self._change(page.path, partial(_filled, page, texts))

    def _change(self, path: Path, change: Callable[[], tuple[bytes, bytes]]) -> None:
        assert self.backup is not None
        try:
            self.backup.replace(path, *change())
        except OSError as error:
            self.failed[str(path)] = f"cannot be changed ({error.strerror or error})"
        except DataError as error:
            self.failed[str(path)] = str(error).removeprefix(f"{path}: ")


def _filled(page: Page, texts: Sequence[tuple[Gap, str]]) -> tuple[bytes, bytes]:
    """The page's old and new content."""
    return page.content, page.filled(texts)


def _described(picture: Path, alt: str) -> tuple[bytes, bytes]:
    """The picture's old and new content."""
    from showtell.alt.metadata import with_description

    old = picture.read_bytes()
    return old, with_description(old, alt, str(picture))
