"""COCO captions JSON (arXiv:1504.00325): the official 2014 and 2017 layouts, or one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.sources import contains, field, id_field, list_field, read_json, text_field
from showtell.data.records import CaptionAuthor, Split
from showtell.errors import AnnotationError

_NAME = re.compile(r"captions_(train|val|test)(\d*)\.json")
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}


def matches(root: Path) -> bool:
    """Whether the file, or the folder, holds COCO captions."""
    if root.is_dir():
        return bool(_files(root))
    return root.suffix == ".json" and contains(root, b'"annotations"')


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of a COCO file, or of all files of one year in a folder.

    The split comes from the file's name (`captions_val2017.json`); a file of any other name is all `train`.

    Raises:
        AnnotationError: there is no such file, or one cannot be used.
    """
    files = _files(root) if root.is_dir() else [root]
    if not files:
        raise AnnotationError(
            f"{root}: no annotations/captions_*.json in it; put COCO's caption files there or name another "
            "--data.format"
        )
    for file in files:
        _read_file(file, images, collector)


def _files(root: Path) -> list[Path]:
    """The caption files of one year: the newest that has its images, else the newest."""
    for folder in (root / "annotations", root):
        names = [match for file in sorted(folder.glob("*.json")) if (match := _NAME.fullmatch(file.name))]
        if names:
            with_images = [name for name in names if _has_images(root, name[1] + name[2])]
            year = max(name[2] for name in with_images or names)
            return [folder / name[0] for name in names if name[2] == year]
    single = root / "captions.json"
    return [single] if single.is_file() and matches(single) else []


def _has_images(root: Path, name: str) -> bool:
    return (root / name).is_dir() or (root / "images" / name).is_dir()


def _read_file(file: Path, images: Path | None, collector: Collector) -> None:
    content = read_json(file)
    match = _NAME.fullmatch(file.name)
    split = _SPLITS[match[1]] if match else "train"
    folders = _image_folders(file, images, match[1] + match[2] if match else "")
    for number, record in enumerate(list_field(content, "images", file)):
        with collector.entry(f"{file}: images[{number}]"):
            collector.add_image(id_field(record, "id"), text_field(record, "file_name"), split, folders)
    for number, record in enumerate(list_field(content, "annotations", file)):
        with collector.entry(f"{file}: annotations[{number}]"):
            image_id = id_field(record, "image_id")
            if "id" in record:
                collector.claim(file, "annotation", id_field(record, "id"))
            collector.add_caption(image_id, field(record, "caption"), _author(record))


def _author(record: dict[str, Any]) -> CaptionAuthor:
    """Who wrote a caption: its `source`, `person` where it has none.

    Raises:
        EntryError: it is neither `person` nor `model`.
    """
    source = record.get("source", "person")
    if source not in ("person", "model"):
        raise EntryError("wrong fields", f"'source' is {source!r}, not 'person' or 'model'")
    author: CaptionAuthor = source
    return author


def _image_folders(file: Path, images: Path | None, name: str) -> ImageFolders:
    """Where the images of a caption file are; `name` is such as `train2017`, or empty."""
    if images is not None:
        return ImageFolders([images / name, images] if name else [images])
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    named = [root / name, root / "images" / name] if name else []
    return ImageFolders([*named, root / "images", root])
