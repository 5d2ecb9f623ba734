"""Karpathy's splits of COCO, Flickr8k and Flickr30k (`dataset_coco.json`, ...; arXiv:1412.2306)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.flickr8k import IMAGE_FOLDERS
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.sources import (
    contains,
    field,
    id_field,
    list_field,
    read_json,
    split_field,
    text_field,
)
from showtell.errors import AnnotationError


def matches(root: Path) -> bool:
    """Whether the file, or the folder, holds one of Karpathy's files."""
    if root.is_dir():
        return _file(root) is not None
    return root.suffix == ".json" and contains(root, b'"sentences"')


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of one of Karpathy's files; `restval` is `train`.

    Raises:
        AnnotationError: there is no such file, more than one, or it cannot be used.
    """
    file = _file(root) if root.is_dir() else root
    if file is None:
        raise AnnotationError(f"{root}: not one dataset_*.json in it; name the file itself with --data.root")
    bases = (
        [images] if images else [file.parent, *(file.parent / name for name in ("images", *IMAGE_FOLDERS))]
    )
    folders: dict[str, ImageFolders] = {}
    for number, record in enumerate(list_field(read_json(file), "images", file)):
        image_id, sentences = "", []
        entry = f"{file}: images[{number}]"
        with collector.entry(entry):
            name = text_field(record, "filename")
            image_id = id_field(record, "cocoid") if "cocoid" in record else name
            inside = text_field(record, "filepath") if record.get("filepath") else ""
            if inside not in folders:
                folders[inside] = ImageFolders([*(base / inside for base in bases if inside), *bases])
            found = _sentences(record)
            collector.add_image(image_id, name, split_field(record) or "train", folders[inside])
            sentences = found
        for place, sentence in enumerate(sentences):
            with collector.entry(f"{entry}.sentences[{place}]"):
                collector.add_caption(image_id, field(sentence, "raw"))


def _file(root: Path) -> Path | None:
    """The one `dataset_*.json` of a folder, or of `annotations` in it; or its `captions.json`."""
    files = [*root.glob("dataset_*.json"), *(root / "annotations").glob("dataset_*.json")]
    files = files or [file for file in root.glob("captions.json") if matches(file)]
    return files[0] if len(files) == 1 else None


def _sentences(record: Any) -> list[Any]:
    sentences = record.get("sentences", [])
    if not isinstance(sentences, list):
        raise EntryError("wrong fields", "'sentences' is not a list")
    return sentences
