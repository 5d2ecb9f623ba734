"""Finding image files without asking the disk for each one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


class ImageFolders:
    """Folders to look for images in, the first that has a file wins.

    Each folder (or folder inside it that a name leads to) is listed once: COCO has 118,000 images, and one
    listing is far cheaper than a question for each, above all on a network disk. The case of letters counts,
    on every system.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._listings: dict[Path, frozenset[str]] = {}

    def find(self, name: str) -> Path | None:
        """The file of an image by its name (`a.jpg`, `holiday/a.jpg` or an absolute path), or None."""
        head, _, tail = name.rpartition("/")
        if not head and name.startswith("/"):
            head = "/"
        for folder in self._folders:
            inside = folder / head if head else folder
            if tail in self._listing(inside):
                return inside / tail
        return None

    def first(self, name: str) -> Path:
        """Where an image of this name belongs, whether it is there or not."""
        return self._folders[0] / name

    def _listing(self, folder: Path) -> frozenset[str]:
        names = self._listings.get(folder)
        if names is None:
            try:
                with os.scandir(folder) as entries:
                    names = frozenset(entry.name for entry in entries)
            except (OSError, ValueError):  # ValueError: a null byte in the name
                names = frozenset()
            self._listings[folder] = names
        return names

    def __str__(self) -> str:
        """The folders, for an error message: those that exist, else all."""
        present = [folder for folder in self._folders if folder.is_dir()]
        return " or ".join(str(folder) for folder in present or self._folders)
