"""JSON Lines, or one JSON list, of `{"image": ..., "caption" or "captions": ..., "split": ...}`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.sources import (
    field,
    first_line,
    parse_json_line,
    read_json,
    read_lines,
    split_field,
    text_field,
)
from showtell.errors import AnnotationError

_SUFFIXES = (".jsonl", ".ndjson")
_CAPTION_FILES = ("captions.jsonl", "captions.ndjson", "captions.json")


def matches(root: Path) -> bool:
    """Whether it is such a file, or a folder with `captions.jsonl` (.json) or one other `.jsonl` file."""
    if root.is_dir():
        return _file(root) is not None
    return root.suffix in (*_SUFFIXES, ".json")


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of a file; the entries of one image are merged.

    Images are looked for beside the file and in `images` there.

    Raises:
        AnnotationError: there is no such file, or it cannot be used.
    """
    file = _file(root) if root.is_dir() else root
    if file is None:
        raise AnnotationError(
            f"{root}: no captions.jsonl (or one other .jsonl) in it; name the file with --data.root"
        )
    folders = ImageFolders(
        [images] if images else [file.parent, file.parent / "images", file.parent / "Images"]
    )
    lines = file.suffix in _SUFFIXES
    for entry, content in read_lines(file) if lines else _items(file):
        name, captions = "", []
        with collector.entry(entry):
            record = parse_json_line(content) if lines else content
            name = text_field(record, "image").strip()
            found = _captions(record)
            collector.merge_image(name, split_field(record), folders)
            captions = found
        for place, caption in enumerate(captions, start=1):
            with collector.entry(f"{entry}, caption {place}"):
                collector.add_caption(name, caption)


def _items(file: Path) -> Iterator[tuple[str, Any]]:
    """Entry name and content of every item of a JSON list."""
    content = read_json(file)
    if not isinstance(content, list):
        expected = 'neither COCO nor Karpathy, nor a list of {"image": ..., "caption": ...}'
        raise AnnotationError(f"{file}: wrong fields: {expected}; check its format")
    for number, item in enumerate(content):
        yield f"{file}: [{number}]", item


def _captions(record: Any) -> list[Any]:
    captions = record["captions"] if "captions" in record else [field(record, "caption")]
    if not isinstance(captions, list):
        raise EntryError("wrong fields", "'captions' is not a list")
    return captions


def _file(root: Path) -> Path | None:
    """The file of a folder: a caption file by name, else the only one if it names images."""
    for name in _CAPTION_FILES:
        if (root / name).is_file():
            return root / name
    files = [file for suffix in _SUFFIXES for file in root.glob(f"*{suffix}")]
    return files[0] if len(files) == 1 and '"image"' in first_line(files[0]) else None
