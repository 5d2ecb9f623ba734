"""Karpathy's splits of COCO, Flickr8k and Flickr30k (`dataset_coco.json`, ...; arXiv:1412.2306)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.fields import field, id_field, list_field, split_field, text_field
from showtell.data.annotations.image_folders import IMAGE_FOLDERS, ImageFolders
from showtell.data.annotations.listing import files_in, folders_in
from showtell.data.annotations.reading import contains, read_json
from showtell.errors import AnnotationError


def files(root: Path) -> list[Path]:
    """Karpathy's files in a folder, or in a folder within it; else its `captions.json` of that form."""
    for folder in itertools.chain((root, root / "annotations"), folders_in(root, 2)):
        named = [file for file in files_in(folder, ".json") if file.name.startswith("dataset_")]
        if ours := [file for file in named if matches_file(file)]:  # not Hugging Face's dataset_info.json
            return ours
    return [file for file in files_in(root, ".json") if file.name == "captions.json" and matches_file(file)]


def matches_file(file: Path) -> bool:
    """Whether a file is one of Karpathy's, by what is in it."""
    return file.suffix == ".json" and contains(file, b'"sentences"')


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of one of Karpathy's files; `restval` is `train`.

    Of several files in a folder (they come in one archive) the one whose images are there is read.

    Raises:
        AnnotationError: there is no such file, more than one whose images are there, or it cannot be used.
    """
    if not root.is_dir():
        _read_file(root, list_field(read_json(root), "images", root), _bases(root, root, images), collector)
        return
    paths = files(root)
    if not paths:
        raise AnnotationError(f"{root}: no dataset_*.json in it; name the file itself with --data.root")
    contents = {file: list_field(read_json(file), "images", file) for file in paths}
    if len(paths) > 1:
        paths = [file for file in paths if _has_images(contents[file], _bases(file, root, images))]
    if len(paths) != 1:
        names = ", ".join(str(file.relative_to(root)) for file in contents)
        raise AnnotationError(f"{root}: several files of Karpathy's: {names}; name one with --data.root")
    _read_file(paths[0], contents[paths[0]], _bases(paths[0], root, images), collector)


def _bases(file: Path, root: Path, images: Path | None) -> tuple[list[Path], list[Path]]:
    """Folders in which to look for images, and those that are searched after them."""
    if images is not None:
        return [images], [images]
    homes = dict.fromkeys([file.parent, *([root] if root.is_dir() else [])])
    return [base for home in homes for base in (home, *(home / name for name in IMAGE_FOLDERS))], list(homes)


def _has_images(records: list[Any], bases: tuple[list[Path], list[Path]]) -> bool:
    """Whether the first image of a file is there."""
    first = records[0] if records and isinstance(records[0], dict) else {}
    name, inside = first.get("filename"), first.get("filepath") or ""
    if not isinstance(name, str) or not isinstance(inside, str):
        return False
    try:
        return _folders(bases, inside).find(name) is not None
    except EntryError:
        return True  # in several places


def _folders(bases: tuple[list[Path], list[Path]], inside: str) -> ImageFolders:
    return ImageFolders([*(base / inside for base in bases[0] if inside), *bases[0]], bases[1])


def _read_file(
    file: Path, records: list[Any], bases: tuple[list[Path], list[Path]], collector: Collector
) -> None:
    collector.reads(file)
    folders: dict[str, ImageFolders] = {}
    for number, record in enumerate(records):
        image_id, sentences = "", []
        entry = f"{file}: images[{number}]"
        with collector.entry(entry):
            name = text_field(record, "filename")
            image_id = id_field(record, "cocoid") if "cocoid" in record else name
            inside = text_field(record, "filepath") if record.get("filepath") else ""
            if inside not in folders:
                folders[inside] = _folders(bases, inside)
            captions = _sentences(record)
            collector.add_image(image_id, name, split_field(record) or "train", folders[inside])
            sentences = captions
        for position, sentence in enumerate(sentences):
            with collector.entry(f"{entry}.sentences[{position}]"):
                collector.add_caption(image_id, field(sentence, "raw"))


def _sentences(record: Any) -> list[Any]:
    sentences = record.get("sentences", [])
    if not isinstance(sentences, list):
        raise EntryError("wrong fields", "'sentences' is not a list")
    return sentences
