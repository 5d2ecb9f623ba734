"""JSON Lines, or one JSON list, of `{"image": ..., "caption" or "captions": ..., "split": ...}`.

Also Hugging Face's imagefolder (`metadata.jsonl`), TextCaps, and lists with fields of other names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.csv_tables import beside, split_of
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.fields import (
    CAPTION_FIELDS,
    CAPTIONS_FIELDS,
    IMAGE_FIELDS,
    among,
    field,
    first_field,
    id_field,
    missing_fields,
    split_field,
)
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.listing import files_in, folders_in, split_in_name
from showtell.data.annotations.reading import first_line, first_text, parse_json_line, read_json, read_lines
from showtell.data.records import Split
from showtell.errors import AnnotationError

LINES = (".jsonl", ".ndjson")
_CAPTION_FILES = ("captions.jsonl", "captions.ndjson", "captions.json")
_METADATA = "metadata.jsonl"  # Hugging Face's imagefolder: one in each folder


def files(root: Path) -> list[Path]:
    """The files of a folder: a caption file by name, the metadata of each of its folders, or the only one.

    Several are read if their names state the splits.
    """
    for name in _CAPTION_FILES:
        if (root / name).is_file():
            return [root / name]
    homes = [root, *folders_in(root, 2)]
    if metadata := [folder / _METADATA for folder in homes if (folder / _METADATA).is_file()]:
        return metadata
    for folder in homes:
        paths = [file for file in files_in(folder, *LINES) if _names_images(file)]
        paths = paths or [file for file in files_in(folder, ".json") if _is_list(file)]
        splits = [split_in_name(file.stem) for file in paths]
        if len(paths) == 1 or (paths and None not in splits and len(set(splits)) == len(splits)):
            return paths
    return []


def matches_file(file: Path) -> bool:
    """Whether a file is of this kind, by its ending."""
    return file.suffix.lower() in (*LINES, ".json")


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of a file; the entries of one image are merged.

    Images are looked for beside the file, in `images` and in the other folders there.

    Raises:
        AnnotationError: there is no such file, or it cannot be used.
    """
    paths = files(root) if root.is_dir() else [root]
    if not paths:
        raise AnnotationError(
            f"{root}: no captions.jsonl (or one other .jsonl) in it; name the file with --data.root"
        )
    for file in paths:
        collector.reads(file)
        prefix = f"{file.parent.relative_to(root).as_posix()}/" if len(paths) > 1 else ""
        _read_file(file, beside(file, images), split_of(file, root), prefix.removeprefix("./"), collector)


def _read_file(
    file: Path, folders: ImageFolders, split: Split | None, prefix: str, collector: Collector
) -> None:
    lines = file.suffix.lower() in LINES
    for entry, content in read_lines(file) if lines else _items(file):
        collect_record(entry, content, folders, collector, split, prefix, parse=lines)


def collect_record(
    entry: str,
    content: Any,
    folders: ImageFolders,
    collector: Collector,
    split: Split | None = None,
    prefix: str = "",
    *,
    parse: bool = False,
) -> None:
    """Collect an image and its captions.

    Args:
        entry: the file, and the place in it.
        content: `{"image": ..., "caption" or "captions": ..., "split": ...}`.
        folders: where to look for the image.
        collector: gets them.
        split: of records that do not say theirs.
        prefix: of the image's id.
        parse: the content is a line of JSON.

    Raises:
        AnnotationError: the record cannot be used (unless bad entries are skipped).
    """
    name, captions = "", []
    with collector.entry(entry):
        record = parse_json_line(content) if parse else content
        if isinstance(record, dict):  # pandas writes null for an empty cell
            record = {name: value for name, value in record.items() if value is not None}
        file_name = _image(record, folders)
        name = prefix + file_name
        texts = _captions(record)
        own = split_field(record) or split_field(record, "set_name") or split
        collector.merge_image(file_name, own, folders, name)
        captions = texts
    for index, caption in enumerate(captions, start=1):
        with collector.entry(f"{entry}, caption {index}"):
            collector.add_caption(name, caption)


def _items(file: Path) -> Iterator[tuple[str, Any]]:
    """Entry name and content of every item of a JSON list, or of an object of images and their captions."""
    content = read_json(file)
    if isinstance(content, dict) and isinstance(content.get("data"), list):  # TextCaps
        content = content["data"]
    elif isinstance(content, dict) and first_field(content, IMAGE_FIELDS) and _caption_field(content):
        content = [content]
    elif (
        isinstance(content, dict)
        and content
        and all(isinstance(each, str | list) for each in content.values())
    ):
        listed = {name: [each] if isinstance(each, str) else each for name, each in content.items()}
        content = [{"image": name, "captions": captions} for name, captions in listed.items()]
    if not isinstance(content, list):
        expected = 'neither COCO nor Karpathy, nor a list of {"image": ..., "caption": ...}'
        raise AnnotationError(f"{file}: wrong fields: {expected}; check its format")
    if content and isinstance(content[0], dict) and "regions" in content[0]:
        raise AnnotationError(
            f"{file}: Visual Genome's regions: their phrases describe parts of an image; write a list of"
            ' {"image": ..., "captions": [...]} of whole images (--data.format jsonl)'
        )
    for number, item in enumerate(content):
        yield f"{file}: [{number}]", item


def _caption_field(record: Collection[str]) -> str | None:
    """The field of a record that has its captions or its caption."""
    return first_field(record, CAPTIONS_FIELDS) or first_field(record, CAPTION_FIELDS)


def _image(record: Any, folders: ImageFolders) -> str:
    """The name of an image: the first of its fields that names a file, else the first of them."""
    fields = [name for name in IMAGE_FIELDS if isinstance(record, dict) and name in record]
    names = [id_field(record, name).strip() for name in fields]
    if not names:
        if not isinstance(record, dict):
            field(record, "image")  # raises
        missing = missing_fields(record, IMAGE_FIELDS, (*CAPTION_FIELDS, *CAPTIONS_FIELDS))
        raise EntryError("wrong fields", missing + among(record))
    if len(names) > 1:
        return next((name for name in names if folders.find(name) is not None), names[0])
    return names[0]


def _captions(record: Any) -> list[Any]:
    several = first_field(record, CAPTIONS_FIELDS)
    if several is None:
        name = first_field(record, CAPTION_FIELDS)
        if name is None:
            raise EntryError("wrong fields", missing_fields(record, CAPTION_FIELDS) + among(record))
        return [record[name]]
    captions = record[several]
    if not isinstance(captions, list):
        raise EntryError("wrong fields", f"{several!r} is not a list")
    return [
        caption[name]
        if isinstance(caption, dict) and (name := first_field(caption, CAPTION_FIELDS))
        else caption
        for caption in captions
    ]


def _names_images(file: Path) -> bool:
    line = first_line(file)
    return any(f'"{name}"' in line for name in IMAGE_FIELDS)


def _is_list(file: Path) -> bool:
    """Whether a JSON file begins like a list of objects with an image and a caption."""
    start = first_text(file)
    named = any(f'"{name}"' in start for name in IMAGE_FIELDS)
    return named and any(f'"{name}"' in start for name in (*CAPTION_FIELDS, *CAPTIONS_FIELDS))
