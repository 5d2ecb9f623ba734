"""What has no alt text: pictures of pages, or picture files without a description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from showtell.alt.gaps import Gap
from showtell.alt.pages import PAGE_SUFFIXES, Page, find_pages, read_page
from showtell.data.collect import IMAGE_SUFFIXES, find_images
from showtell.errors import DataError, UsageError
from showtell.progress import bars_hidden

Kind = Literal["auto", "pages", "pictures"]


@dataclass(frozen=True)
class Missing:
    """A picture that has no alt text.

    Attributes:
        name: as it is told: the page's file and line and the address there, or the picture's file.
        picture: its file.
        page: that shows it, or None for a picture of its own.
        gap: where in the page.
    """

    name: str
    picture: Path
    page: Page | None = None
    gap: Gap | None = None


@dataclass
class Survey:
    """What was found.

    Attributes:
        missing: in order.
        skipped: name -> why there can be no alt text for it.
        pages: files that were read.
        described: picture files that have a description, which is kept.
    """

    missing: list[Missing] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    described: int = 0
    _seen: set[Path] = field(default_factory=set)

    def is_new(self, path: Path) -> bool:
        """Whether this file was not looked at before, under any name."""
        real = path.resolve()
        new = real not in self._seen
        self._seen.add(real)
        return new


def survey(paths: Sequence[str], *, kind: Kind = "auto", root: Path | None = None) -> Survey:
    """Look for what has no alt text.

    Args:
        paths: pages, pictures, and folders of these.
        kind: what to look at in folders; `auto` takes pages where there are any, else pictures.
        root: folder that addresses like `/images/a.jpg` begin at; by default the folder that was named.

    Raises:
        UsageError: a path is neither, or a folder has nothing to look at.
    """
    found = Survey()
    for name in paths:
        path = Path(name)
        if path.is_dir():
            pages = [] if kind == "pictures" else list(find_pages(path))
            if not pages and kind == "pages":
                raise UsageError(f"{name}: no pages ({', '.join(sorted(PAGE_SUFFIXES))}) in this folder")
            _add_pages(found, pages, root or path)
            if not pages:
                _add_pictures(found, find_images([name]))
        elif path.suffix.lower() in PAGE_SUFFIXES:
            _add_pages(found, [path], root or path.parent)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            _add_pictures(found, iter([name]))
        else:
            raise UsageError(f"{name}: neither a folder, nor a page, nor a picture")
    return found


def _add_pages(found: Survey, paths: Sequence[Path], root: Path) -> None:
    for path in filter(found.is_new, paths):
        try:
            page = read_page(path, root)
        except DataError as error:
            found.skipped[str(path)] = str(error).removeprefix(f"{path}: ")
            continue
        found.pages += 1
        for gap in page.gaps:
            name = f"{path}:{page.line(gap)} {gap.source}".rstrip()
            try:
                found.missing.append(Missing(name, page.picture(gap), page, gap))
            except DataError as error:
                found.skipped[name] = str(error)


def _add_pictures(found: Survey, names: Iterator[str]) -> None:
    from showtell.alt.metadata import read_description

    for name in tqdm(names, desc="looking", unit="img", disable=bars_hidden()):
        path = Path(name)
        if not found.is_new(path):
            continue
        try:
            described = read_description(path.read_bytes(), name)
        except OSError as error:
            found.skipped[name] = f"cannot be read ({error.strerror or error})"
            continue
        except DataError:
            described = ""  # it may still be captioned; that nothing can be written is told when it is tried
        if described:
            found.described += 1
        else:
            found.missing.append(Missing(name, path))
