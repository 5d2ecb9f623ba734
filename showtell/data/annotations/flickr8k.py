"""Flickr8k (Hodosh et al. 2013): the official text files, or Kaggle's `captions.txt`; also Flickr30k's."""

from __future__ import annotations

import re
from pathlib import Path

from showtell.data.annotations import tables
from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.sources import first_line, read_lines
from showtell.data.records import Split
from showtell.errors import AnnotationError

IMAGE_FOLDERS = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "flickr30k_images")
_TOKEN_FILES = ("Flickr8k.token.txt", "results_20130124.token")
_LISTS: dict[Split, str] = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_TOKEN_LINE = re.compile(r"([^\t]+)#(\d+)\s*\t(.*)")


def matches(root: Path) -> bool:
    """Whether the file, or the folder, holds captions in Flickr8k's text files."""
    if root.is_dir():
        return _captions_file(root) is not None
    return root.name in _TOKEN_FILES or _TOKEN_LINE.match(first_line(root)) is not None


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of Flickr8k.

    Where there are list files (`Flickr_8k.trainImages.txt`, ...), they say the splits, and images in none of
    them are left out. Where there is none, all images are `train`.

    Raises:
        AnnotationError: there is no caption file, or a file cannot be used.
    """
    file = _captions_file(root) if root.is_dir() else root
    if file is None:
        raise AnnotationError(
            f"{root}: no {_TOKEN_FILES[0]} or captions.txt in it; put Flickr8k's caption file there"
        )
    home = file.parent
    folders = ImageFolders(
        [images] if images else [*(home / name for name in IMAGE_FOLDERS), home / "images", home]
    )
    lists = {split: home / name for split, name in _LISTS.items() if (home / name).is_file()}
    for split, path in lists.items():
        for entry, name in read_lines(path):
            with collector.entry(entry):
                collector.add_image(name, name, split, folders)
    table = tables.has_header(file)
    for entry, line in tables.rows(file) if table else read_lines(file):
        with collector.entry(entry):
            name, caption = _caption(line)
            if isinstance(line, str):
                collector.claim(file, "caption", line.partition("\t")[0])
            if collector.knows(name) or not lists:
                collector.merge_image(name, None, folders)
                collector.add_caption(name, caption)


def _captions_file(root: Path) -> Path | None:
    """The caption file of a folder: an official one, or a `captions.txt` that is like it or like Kaggle's."""
    for name in _TOKEN_FILES:
        if (root / name).is_file():
            return root / name
    file = root / "captions.txt"
    if file.is_file() and (matches(file) or any((root / name).is_dir() for name in IMAGE_FOLDERS)):
        return file
    return None


def _caption(line: str | tables.Row) -> tuple[str, str]:
    """Image name and caption of a line of an official file, or of a row of Kaggle's."""
    if not isinstance(line, str):
        record = line.record()
        return record["image"].strip(), record["caption"]
    match = _TOKEN_LINE.fullmatch(line if "\t" in line else f"{line}\t")
    if match is None:
        raise EntryError("wrong fields", f"{line[:60]!r} is not `name.jpg#0<tab>caption`")
    return match[1], match[3]
