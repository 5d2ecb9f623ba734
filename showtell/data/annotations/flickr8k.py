"""Flickr8k (Hodosh et al. 2013): the official text files, or Kaggle's `captions.txt`; also Flickr30k's."""

from __future__ import annotations

import re
from pathlib import Path

from showtell.data.annotations import csv_tables
from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import IMAGE_FOLDERS, ImageFolders
from showtell.data.annotations.listing import files_in, folders_in
from showtell.data.annotations.reading import first_line, read_lines
from showtell.data.records import Split
from showtell.errors import AnnotationError

_TOKEN_FILES = ("flickr8k.token.txt", "flickr30k.token.txt", "results_20130124.token")
_CAPTION_FILES = ("captions.txt", "results.csv")  # of Kaggle; others have files of these names too
_LIST = re.compile(r"flickr_?(?:8k|30k)?\.(train|dev|test)images\.txt", re.IGNORECASE)
_SPLITS: dict[str, Split] = {"train": "train", "dev": "val", "test": "test"}
_TOKEN_LINE = re.compile(r"([^\t]+)#(\d+)\s*\t(.*)")


def files(root: Path) -> list[Path]:
    """The caption file of a folder or of one within it (`Flickr8k_text`): an official one, or Kaggle's."""
    homes = [root, *folders_in(root, 2)]
    for folder in homes:
        inside = {file.name.lower(): file for file in files_in(folder, ".txt", ".token", ".csv")}
        for name in _TOKEN_FILES:
            if name in inside:
                return [inside[name]]
    for folder in homes:
        inside = {file.name.lower(): file for file in files_in(folder, ".txt", ".csv")}
        for name in _CAPTION_FILES:
            if name in inside and _is_kaggles(inside[name]):
                return [inside[name]]
    return []


def matches_file(file: Path) -> bool:
    """Whether a file holds captions in the form of Flickr8k, by its name or its first line."""
    return file.name.lower() in _TOKEN_FILES or _TOKEN_LINE.match(first_line(file)) is not None


def _is_kaggles(file: Path) -> bool:
    known = any((file.parent / name).is_dir() for name in IMAGE_FOLDERS[1:])
    return matches_file(file) or (known and (csv_tables.has_header(file) or file.suffix == ".txt"))


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of Flickr8k.

    Where there are list files (`Flickr_8k.trainImages.txt`, ...), they say the splits, and images in none of
    them are left out. Where there is none, all images are `train`.

    Raises:
        AnnotationError: there is no caption file, or a file cannot be used.
    """
    paths = files(root) if root.is_dir() else [root]
    if not paths:
        raise AnnotationError(
            f"{root}: no Flickr8k.token.txt or captions.txt in it; put Flickr8k's caption file there"
        )
    file = paths[0]
    collector.reads(file)
    folders = _image_folders(file, root, images)
    lists = list_files(file.parent)
    for split in _SPLITS.values():
        for entry, name in read_lines(lists[split]) if split in lists else ():
            with collector.entry(entry):
                collector.add_image(name, name, split, folders)
    table = csv_tables.has_header(file)
    for entry, line in csv_tables.rows(file) if table else read_lines(file):
        with collector.entry(entry):
            name, caption = _caption(line)
            if isinstance(line, str):
                collector.claim(file, "caption", line.partition("\t")[0])
            if collector.knows(name) or not lists:
                collector.merge_image(name, None, folders)
                collector.add_caption(name, caption)


def list_files(folder: Path) -> dict[Split, Path]:
    """The files that list the images of each split (`Flickr_8k.trainImages.txt`, ...)."""
    matches = ((path, _LIST.fullmatch(path.name)) for path in files_in(folder, ".txt"))
    return {_SPLITS[match[1].lower()]: path for path, match in matches if match}


def _image_folders(file: Path, root: Path, images: Path | None) -> ImageFolders:
    """Where the images are: the two archives are unpacked in one folder, or side by side."""
    if images is not None:
        return ImageFolders([images], [images])
    homes = dict.fromkeys([file.parent, *([root] if root.is_dir() else []), file.parent.parent])
    folders = [home / name for home in homes for name in IMAGE_FOLDERS]
    doubled = [folder / name for folder in folders if folder.is_dir() for name in IMAGE_FOLDERS]
    within = root if root.is_dir() else file.parent
    return ImageFolders([*folders, *doubled, *homes], [within])


def _caption(line: str | csv_tables.Row) -> tuple[str, str]:
    """Image name and caption of a line of an official file, or of a row of Kaggle's."""
    if not isinstance(line, str):
        record = line.record()
        return record["image"].strip(), record["caption"]
    match = _TOKEN_LINE.fullmatch(line if "\t" in line else f"{line}\t")
    if match is None:
        raise EntryError("wrong fields", f"{line[:60]!r} is not `name.jpg#0<tab>caption`")
    return match[1], match[3]
