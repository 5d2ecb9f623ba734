"""A survey of missing alt text: images of pages, and image files without a description."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tqdm import tqdm

from showtell.alt.documents import PAGE_SUFFIXES, Page, read_page
from showtell.alt.folders import find_folder_links, find_pages, is_backup, leads_out
from showtell.alt.gaps import Gap
from showtell.data.find_images import IMAGE_SUFFIXES, find_images
from showtell.errors import DataError, UsageError
from showtell.utils.files import path_exists
from showtell.utils.progress import bars_hidden

Kind = Literal["auto", "pages", "photos"]

_LEADS_OUT: Final = "a symbolic link that leads out of the folder; it is left alone"


@dataclass(frozen=True)
class Missing:
    """An image that has no alt text.

    Attributes:
        name: as it is reported: the page's file and line and the address there, or the image's file.
        image: its file.
        page: that shows it, or None for an image of its own.
        gap: where in the page.
    """

    name: str
    image: Path
    page: Page | None = None
    gap: Gap | None = None


@dataclass
class Survey:
    """The images that lack alt text.

    Attributes:
        missing: in order.
        skipped: name -> why there can be no alt text for it.
        left_alone: file or folder -> why it was not read.
        pages: files that were read.
        described: image files that have a description, which is kept.
    """

    missing: list[Missing] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    left_alone: dict[str, str] = field(default_factory=dict)
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

    Symbolic links that lead out of a folder are not followed; a file that is named itself may be a link.

    Args:
        paths: pages, images, and folders of these.
        kind: what to survey in folders; `auto` takes pages if there are any, else images.
        root: folder that addresses like `/images/a.jpg` begin at; by default the folder that was named.

    Raises:
        UsageError: a path is not there or is neither, or a folder has nothing to look at.
    """
    result = Survey()
    for name in paths:
        path = Path(name)
        if not path_exists(path):
            raise UsageError(f"{name}: no such file or folder")
        if path.is_dir():
            _add_folder(result, path, kind, root)
        elif path.suffix.lower() in PAGE_SUFFIXES:
            _add_page(result, path, root or path.parent)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            _add_images(result, iter([name]), None)
        else:
            raise UsageError(f"{name}: neither a folder, nor a page, nor a photo")
    return result


def _add_folder(result: Survey, folder: Path, kind: Kind, root: Path | None) -> None:
    pages = [] if kind == "photos" else list(find_pages(folder))
    if not pages and kind == "pages":
        raise UsageError(f"{folder}: no pages ({', '.join(sorted(PAGE_SUFFIXES))}) in this folder")
    result.left_alone |= {str(path): _LEADS_OUT for path in find_folder_links(folder)}
    for path in pages:
        if leads_out(path, folder):
            result.left_alone[str(path)] = _LEADS_OUT
        else:
            _add_page(result, path, root or folder)
    if not pages:
        _add_images(result, find_images([str(folder)]), folder)


def _add_page(result: Survey, path: Path, root: Path) -> None:
    if not result.is_new(path):
        return
    try:
        page = read_page(path, root)
    except DataError as error:
        result.skipped[str(path)] = str(error).removeprefix(f"{path}: ")
        return
    result.pages += 1
    for gap in page.gaps:
        name = " ".join(f"{path}:{page.line(gap)} {gap.source}".split())
        try:
            result.missing.append(Missing(name, page.image(gap), page, gap))
        except DataError as error:
            while name in result.skipped:  # of two that are skipped in a line each is counted
                name += " "
            result.skipped[name] = str(error)


def _add_images(result: Survey, names: Iterator[str], folder: Path | None) -> None:
    from showtell.alt.metadata import read_description

    backups: dict[Path, bool] = {}
    for name in tqdm(names, desc="looking", unit="img", disable=bars_hidden()):
        path = Path(name)
        if folder and leads_out(path, folder):
            result.left_alone[name] = _LEADS_OUT
            continue
        if folder and path.parent not in backups:
            backups[path.parent] = is_backup(path.parent)
        if backups.get(path.parent) or not result.is_new(path):
            continue
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
                result.left_alone[name] = "not a regular file; it is left alone"
                continue
            described = read_description(path.read_bytes(), name)
        except OSError as error:
            result.skipped[name] = f"cannot be read ({error.strerror or error})"
            continue
        except DataError:
            described = ""  # it may still be captioned; the write reports that it cannot be changed
        if described:
            result.described += 1
        else:
            result.missing.append(Missing(name, path))
