"""From proposals to a patch, or to changed files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from showtell.alt.backup import Backup
from showtell.alt.documents import Page
from showtell.alt.gaps import Gap
from showtell.alt.patch import Patch, make_patch
from showtell.alt.survey import Missing
from showtell.errors import ShowtellError


class Changes:
    """Collects the texts of pages; writes those of image files as they come.

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
        """Take a text; of an image of its own, the description is written at once."""
        if missing.page and missing.gap:
            self._pages.setdefault(missing.page.path, (missing.page, []))[1].append((missing.gap, alt))
        elif self.backup:
            with self._reported(missing.image):
                self.backup.replace(missing.image, *_described(missing.image, alt))

    def patch(self) -> Patch:
        """A patch of all pages."""
        return make_patch(list(self._pages.values()))

    def write_pages(self) -> None:
        """Write the texts into their pages; those of a page all at once."""
        for page, texts in self._pages.values():
            if self.backup:
                with self._reported(page.path):
                    self.backup.replace(page.path, page.content, page.filled(texts))

    @contextmanager
    def _reported(self, path: Path) -> Iterator[None]:
        """Note why a file could not be changed, and continue."""
        try:
            yield
        except OSError as error:
            self.failed[str(path)] = f"cannot be changed ({error.strerror or error})"
        except ShowtellError as error:
            real = path.resolve()
            self.failed[str(path)] = str(error).removeprefix(f"{path}: ").removeprefix(f"{real}: ")


def _described(image: Path, alt: str) -> tuple[bytes, bytes]:
    """The image file's old and new content."""
    from showtell.alt.metadata import with_description

    old = image.read_bytes()
    return old, with_description(old, alt, str(image))
