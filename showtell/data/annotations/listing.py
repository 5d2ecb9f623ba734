"""Listing a dataset's folder: no files of operating systems, each symbolic link followed once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from showtell.data.find_images import is_left_by_system
from showtell.data.records import Split

_MOST_FOLDERS = 500
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|valid|validation|dev|test)(?:20\d\d)?(?=$|[^a-z0-9])")
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}  # all others are val


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """The files of a folder with these endings (in lower case), sorted; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.lower().endswith(suffixes) and not is_left_by_system(entry.name)
            ]
    except OSError:
        return []
    return sorted(folder / name for name in names)


def folders_in(root: Path, depth: int) -> Iterator[Path]:
    """The folders within a folder, nearest first, sorted, each once however many links lead to it.

    Args:
        root: the folder, which is not among them.
        depth: levels below it. At most 500 folders are listed.
    """
    seen = {os.path.realpath(root)}
    level = [root]
    for _ in range(depth):
        below: list[Path] = []
        for folder in level:
            for inside in _subfolders(folder):
                real = os.path.realpath(inside)
                if real not in seen and len(seen) < _MOST_FOLDERS:
                    seen.add(real)
                    below.append(inside)
                    yield inside
        level = below


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not is_left_by_system(entry.name)]
    except OSError:
        return []
    return sorted(folder / name for name in names)


def split_in_name(name: str) -> Split | None:
    """The split that a file's or folder's name says: `captions_val2017.json`, `TextCaps_0.1_train.json`."""
    splits = {_SPLITS.get(word, "val") for word in _SPLIT.findall(name.lower())}
    return splits.pop() if len(splits) == 1 else None
