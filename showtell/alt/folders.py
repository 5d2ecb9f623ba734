"""Files of a site's folder: its pages, and what is left alone in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from showtell.alt.backup import MANIFEST
from showtell.alt.documents import PAGE_SUFFIXES

_OTHERS: Final = frozenset({"node_modules", "__pycache__"})


def find_pages(folder: Path) -> Iterator[Path]:
    """Pages of a folder and its folders, sorted; not those of hidden folders, `node_modules` and backups."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _OTHERS)
        if MANIFEST in files and is_backup(Path(root)):
            folders.clear()
            continue
        for name in sorted(files):
            if Path(name).suffix.lower() in PAGE_SUFFIXES and not name.startswith("."):
                yield Path(root, name)


def find_folder_links(folder: Path) -> Iterator[Path]:
    """Symbolic links to folders outside of a folder: these are not followed."""
    for root, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _OTHERS)
        yield from (path for name in folders if leads_out(path := Path(root, name), folder))


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path is a symbolic link to somewhere outside of a folder."""
    return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())


def is_backup(folder: Path) -> bool:
    """Whether a folder is a backup of `showtell alt`: its files are copies."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return file.read(9) in (b'{"file": ', b"")
    except OSError:
        return False
