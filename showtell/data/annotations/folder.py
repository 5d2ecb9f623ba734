"""A plain folder of images: with a file of captions, or with `name.txt` beside each `name.jpg`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from showtell.data.annotations import coco, flickr8k, jsonlines, karpathy, tables
from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.sources import read_lines
from showtell.data.collect import IMAGE_SUFFIXES
from showtell.data.records import Split
from showtell.errors import AnnotationError

_NO_CAPTIONS = ("readme", "license", "licence", "notice")
_SPLITS: dict[str, Split] = {"": "train", "train": "train", "val": "val", "test": "test"}


def matches(root: Path) -> bool:
    """Whether the folder, or a split's folder in it, holds an image with a text file beside it."""
    pairs = map(_pairs, (root / inside for inside in _SPLITS))
    return any(images.keys() & texts.keys() for images, texts in pairs)


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images of a folder.

    A file of captions in it (`captions.csv`, .tsv, .txt, .jsonl, .json) is read by the reader of its kind.
    Else each image has a text file of the same name with one caption a line; folders `train`, `val` and
    `test` in it are splits, images in the folder itself are `train`.

    Raises:
        AnnotationError: it is no folder.
    """
    if not root.is_dir():
        raise AnnotationError(f"{root}: not a folder; name the folder that holds the images")
    for reader in (coco, karpathy, flickr8k, tables, jsonlines):
        if reader.matches(root):
            reader.read(root, images, collector)
            return
    for inside, split in _SPLITS.items():
        _read_pairs(root, inside, split, collector)


def _pairs(folder: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The image files and the text files of a folder, by their name without ending."""
    images: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for name in sorted(path.name for path in folder.glob("*")):
        stem, suffix = Path(name).stem, Path(name).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            images.setdefault(stem, []).append(name)
        elif suffix == ".txt" and stem.lower() not in _NO_CAPTIONS:
            texts[stem] = name
    return images, texts


def _read_pairs(root: Path, inside: str, split: Split, collector: Collector) -> None:
    """Collect the images of one folder and the captions beside them."""
    images, texts = _pairs(root / inside)
    prefix = f"{inside}/" if inside else ""
    folders = ImageFolders([root])
    for stem, names in images.items():
        for name in names:
            with collector.entry(str(root / inside / name)):
                collector.add_image(prefix + name, prefix + name, split, folders)
            if stem in texts:
                for entry, caption in _lines(root / inside / texts[stem]):
                    with collector.entry(entry):
                        collector.add_caption(prefix + name, caption)
    for stem in sorted(texts.keys() - images.keys()):
        with collector.entry(str(root / inside / texts[stem])):
            raise EntryError("missing image file", f"no image named {stem!r} is beside it")


def _lines(file: Path) -> Iterable[tuple[str, str]]:
    """The captions of one image; none in an empty file, so that the image is judged, not the dataset."""
    return read_lines(file) if file.stat().st_size else ()
