"""COCO captions JSON (arXiv:1504.00325): the official layouts, one file, and what is written like it.

VizWiz (`annotations/train.json`, `train/`) and nocaps (`nocaps_val_4500_captions.json`) are written like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.fields import field, id_field, list_field, text_field
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.listing import files_in, folders_in, split_in_name
from showtell.data.annotations.reading import begins_with, contains, read_json
from showtell.data.records import CaptionAuthor
from showtell.errors import AnnotationError

_NAME = re.compile(r"captions_(train|val|test)(\d*)\.json")
_NO_CAPTIONS = re.compile(r"(instances|person_keypoints|panoptic|stuff|image_info|dataset|region)_.*")
_DEPTH = 3  # levels of folders that may hold the annotations


def files(root: Path) -> list[Path]:
    """The caption files of a folder: those of one year, the newest that has its images; else all others."""
    for folder in _homes(root):
        names = [match for file in files_in(folder, ".json") if (match := _NAME.fullmatch(file.name))]
        if names:
            with_images = [name for name in names if _has_images(_home(folder), name[1] + name[2])]
            year = max(name[2] for name in with_images or names)
            return [folder / name[0] for name in names if name[2] == year]
    for folder in _homes(root):
        if like_coco := [file for file in files_in(folder, ".json") if matches_file(file)]:
            return like_coco
    return []


def _homes(root: Path) -> Iterator[Path]:
    yield from (root / "annotations", root)
    yield from folders_in(root, _DEPTH)


def matches_file(file: Path) -> bool:
    """Whether a file holds COCO captions, by what is in it; without "caption" in its name, a caption too."""
    if file.suffix != ".json" or _NO_CAPTIONS.fullmatch(file.name) or begins_with(file, "["):
        return False  # Label Studio writes a list
    unless_named = () if "caption" in file.name.lower() else (b'"caption"',)  # annotations may be boxes
    return contains(file, b'"annotations"', *unless_named)


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of a COCO file, or of the files of a folder.

    The split comes from the file's name (`captions_val2017.json`, `train.json`); a file that names none is
    all `train`.

    Raises:
        AnnotationError: there is no such file, or one cannot be used.
    """
    paths = files(root) if root.is_dir() else [root]
    if not paths:
        raise AnnotationError(
            f"{root}: no annotations/captions_*.json in it; put COCO's caption files there or name another "
            "--data.format"
        )
    splits = [split_in_name(file.stem) for file in paths]
    if len(paths) > 1 and (None in splits or len(set(splits)) < len(splits)):
        names = ", ".join(str(file.relative_to(root)) for file in paths)
        raise AnnotationError(
            f"{root}: several COCO files, whose names state no splits: {names}; name one with --data.root"
        )
    for file in paths:
        _read_file(file, root, images, collector)


def _home(folder: Path) -> Path:
    """The dataset's folder, from that of its annotations."""
    return folder.parent if folder.name == "annotations" else folder


def _has_images(root: Path, name: str) -> bool:
    return any((home / name).is_dir() for home in (root, root / "images", root.parent))


def _read_file(file: Path, root: Path, images: Path | None, collector: Collector) -> None:
    content = read_json(file)
    if split_in_name(file.stem) == "test" and isinstance(content, dict) and "annotations" not in content:
        return  # VizWiz and COCO publish the names of the test photos, not their captions
    collector.reads(file)
    match = _NAME.fullmatch(file.name)
    split = split_in_name(file.stem) or "train"
    folders = _image_folders(file, root, images, match[1] + match[2] if match else split)
    for number, record in enumerate(list_field(content, "images", file)):
        with collector.entry(f"{file}: images[{number}]"):
            collector.add_image(id_field(record, "id"), text_field(record, "file_name"), split, folders)
    for number, record in enumerate(list_field(content, "annotations", file)):
        with collector.entry(f"{file}: annotations[{number}]"):
            image_id = id_field(record, "image_id")
            caption = field(record, "caption")
            if "id" in record:
                collector.claim(file, "annotation", id_field(record, "id"))
            collector.add_caption(image_id, caption, _author(record))


def _author(record: dict[str, Any]) -> CaptionAuthor:
    """Who wrote a caption: its `source`, `person` if it has none.

    Raises:
        EntryError: it is neither `person` nor `model`.
    """
    source = record.get("source", "person")
    if source not in ("person", "model"):
        raise EntryError("wrong fields", f"'source' is {source!r}, not 'person' or 'model'")
    author: CaptionAuthor = source
    return author


def _image_folders(file: Path, root: Path, images: Path | None, name: str) -> ImageFolders:
    """Where the images of a caption file are; `name` is such as `train2017`, or `val`."""
    if images is not None:
        return ImageFolders([images / name, images], [images])
    home = _home(file.parent)
    homes = list(dict.fromkeys([home, root] if root.is_dir() else [home]))
    named = [folder for home in homes for folder in (home / name, home / "images" / name)]
    return ImageFolders([*named, *(folder for home in homes for folder in (home / "images", home))], homes)
