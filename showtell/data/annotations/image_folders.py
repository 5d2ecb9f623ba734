"""Finding image files without asking the disk for each one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.listing import folders_in
from showtell.data.annotations.names import forward_slashes, is_absolute, look_alike
from showtell.data.find_images import IMAGE_SUFFIXES, is_left_by_system
from showtell.data.urls import path_of_url

IMAGE_FOLDERS: Final = (
    "images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "flickr30k_images",
    "train_images",
)  # fmt: skip
"""Folders beside the annotations in which known datasets keep their images (TextCaps: `train_images`)."""
_DEPTH = 3  # levels of folders that are searched below `within`


class ImageFolders:
    """Folders to look for images in, the first that has a file wins.

    Each folder (or folder inside it that a name leads to) is listed once: COCO has 118,000 images, and one
    listing is far cheaper than a question for each, above all on a network disk. Where no file has exactly
    the name that is asked for, one that looks the same to a person is taken: of another Unicode normal form,
    with a backslash for `/`, with an ending in capitals or without one. A path of another machine, or an
    address of the web, is found by its end.

    Args:
        folders: where to look first.
        within: if none of them has the file, the folders below these are searched too; the file has to be
            in one of them only.
    """

    def __init__(self, folders: Sequence[Path], within: Sequence[Path] = ()) -> None:
        self._folders = folders
        self._within = within
        self._listings: dict[Path, frozenset[str]] = {}
        self._look_alikes: dict[Path, dict[str, list[str]]] = {}
        self._below: list[Path] | None = None

    def find(self, name: str) -> Path | None:
        """The file of an image by its name (`a.jpg`, `holiday/a.jpg` or an absolute path), or None.

        Raises:
            EntryError: several files below `within` have the name.
        """
        stripped = name.strip()
        for exact in dict.fromkeys((name, stripped)):
            head, _, tail = exact.rpartition("/")
            for folder in self._folders:
                inside = folder / (head or "/" * exact.startswith("/"))
                if tail in self._listing(inside):
                    return inside / tail
        plain = forward_slashes(stripped)
        if url_path := path_of_url(plain):
            ends = [url_path, *_ends(url_path)]
        else:
            ends = list(_ends(plain)) if is_absolute(plain) else [plain]
        for end in ends:
            for folder in self._folders:
                path = self._find_alike(folder, end) or self._find_repeated(folder, end)
                if path is not None:
                    return path
        return self._find_below(ends)

    def _find_alike(self, folder: Path, name: str) -> Path | None:
        """The one file of a folder whose name looks the same, folders within it included."""
        *heads, tail = name.split("/")
        for head in heads:
            if head in ("", "."):
                continue
            folder = folder / (self._only_alike(folder, head) or head)
        match = self._only_alike(folder, tail)
        return folder / match if match else None

    def _find_repeated(self, folder: Path, name: str) -> Path | None:
        """The file, if `name` begins with what `folder` ends with: `images/a.jpg` in `.../images`."""
        parts = name.split("/")
        for count in range(1, len(parts)):
            if folder.parts[-count:] == tuple(parts[:count]):
                return self._find_alike(folder, "/".join(parts[count:]))
        return None

    def _find_below(self, ends: Iterable[str]) -> Path | None:
        if self._below is None:
            asked = set(self._folders)
            below = chain.from_iterable(folders_in(folder, _DEPTH) for folder in self._within)
            self._below = [folder for folder in dict.fromkeys(below) if folder not in asked]
        for end in ends:
            paths = [path for folder in self._below if (path := self._find_alike(folder, end))]
            if len(paths) > 1:
                where = " and ".join(str(path.parent) for path in paths[:2])
                raise EntryError("several image files", f"{end!r} is in {where}")
            if paths:
                return paths[0]
        return None

    def first(self, name: str) -> Path:
        """Where an image of this name belongs, whether it is there or not."""
        return self._folders[0] / (path_of_url(name) or name)

    def _only_alike(self, folder: Path, name: str) -> str | None:
        """The name in a folder that is this one, or the only one that looks like it."""
        if name in self._listing(folder):
            return name
        alike = self._look_alikes.get(folder)
        if alike is None:
            alike = {}
            for entry in self._listing(folder):
                if is_left_by_system(entry):
                    continue
                key = look_alike(entry)
                stem, dot, ending = key.rpartition(".")
                alike.setdefault(key, []).append(entry)
                if f"{dot}{ending}" in IMAGE_SUFFIXES:
                    alike.setdefault(stem, []).append(entry)
            self._look_alikes[folder] = alike
        names = alike.get(look_alike(name), [])
        return names[0] if len(names) == 1 else None

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


def _ends(path: str) -> Iterable[str]:
    """A path of another machine without its first folder, its first two, ..., down to the file's name."""
    parts = [part for part in path.split("/") if part]
    return ("/".join(parts[start:]) for start in range(1, len(parts)))
