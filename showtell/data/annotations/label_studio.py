"""Label Studio's exports: JSON (tasks with their annotations) and JSON_MIN (a flat list).

The captions are the texts of annotators (`textarea`). Tasks without any are not yet annotated and are left
out, and so are cancelled annotations and the predictions of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.csv_tables import beside
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.fields import CAPTION_FIELDS, IMAGE_FIELDS, split_field
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.listing import files_in
from showtell.data.annotations.reading import begins_with, contains, read_json
from showtell.data.find_images import IMAGE_SUFFIXES
from showtell.errors import AnnotationError

_ANNOTATIONS = ("annotations", "completions")  # the second of versions before 1.0
_SURER = ("captions.jsonl", "captions.ndjson", "metadata.jsonl")
_TEMPLATE = "captioning"  # the field of the image in Label Studio's own template for captions
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # what was uploaded gets a prefix


def files(root: Path) -> list[Path]:
    """The one export in a folder; none if there are JSON Lines that are named as captions are."""
    if any((root / name).is_file() for name in _SURER):
        return []
    exports = [file for file in files_in(root, ".json") if matches_file(file)]
    return exports if len(exports) == 1 else []


def matches_file(file: Path) -> bool:
    """Whether a file is an export of Label Studio, by what is in it."""
    if file.suffix.lower() != ".json" or not begins_with(file, "["):
        return False
    tasks = contains(file, b'"data"') and any(contains(file, f'"{name}"'.encode()) for name in _ANNOTATIONS)
    return tasks or (contains(file, b'"annotation_id"') and contains(file, b'"annotator"'))


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of an export.

    Images are looked for beside the file and in the folders there, by the end of their address (local files,
    uploads, web, cloud storage). The split is the field `split` of a task's data.

    Raises:
        AnnotationError: there is no such file, or it cannot be used.
    """
    exports = files(root) if root.is_dir() else [root]
    if not exports:
        raise AnnotationError(
            f"{root}: no export of Label Studio (JSON) in it; name the file with --data.root"
        )
    (file,) = exports
    collector.reads(file)
    folders = beside(file, images)
    content = read_json(file)
    if not isinstance(content, list):
        raise AnnotationError(f"{file}: wrong fields: not a list of tasks; export JSON or JSON_MIN again")
    for number, task in enumerate(content):
        name, captions = "", []
        with collector.entry(f"{file}: [{number}]"):
            if not isinstance(task, dict):
                raise EntryError("wrong fields", "a task is not an object")
            texts = list(_captions(task))
            if texts:
                data = task["data"] if isinstance(task.get("data"), dict) else task
                name = _image(data, folders)
                collector.merge_image(name, split_field(data), folders)
            captions = texts
        for index, caption in enumerate(captions, start=1):
            with collector.entry(f"{file}: [{number}], caption {index}"):
                collector.add_caption(name, caption)


def _captions(task: dict[str, Any]) -> Iterator[object]:
    """The texts of a task's annotators."""
    if not isinstance(task.get("data"), dict):  # JSON_MIN
        value = next((task[name] for name in CAPTION_FIELDS if task.get(name)), None)
        yield from _texts(value)
        return
    for name in _ANNOTATIONS:
        for annotation in _list(task, name):
            if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
                continue
            for region in _list(annotation, "result"):
                if isinstance(region, dict) and region.get("type") == "textarea":
                    yield from _texts(region.get("value"))


def _list(owner: dict[str, Any], name: str) -> list[Any]:
    value = owner.get(name) or []
    if not isinstance(value, list):
        raise EntryError("wrong fields", f"{name!r} is not a list")
    return value


def _texts(value: object) -> Iterator[object]:
    """The texts of a value: one, a list of them, or an object with a `text` of either kind."""
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def _image(data: dict[str, Any], folders: ImageFolders) -> str:
    """The name of a task's image: the first that exists, else the first."""
    addresses = [data[name] for name in (*IMAGE_FIELDS, _TEMPLATE) if isinstance(data.get(name), str)]
    if not addresses:
        texts = [value for value in data.values() if isinstance(value, str)]
        addresses = [text for text in texts if any(map(_is_image, _names(text)))]
    if not addresses:
        raise EntryError("wrong fields", "'data' names no image")
    names = [name for address in addresses for name in _names(address.strip())]
    return next((name for name in names if folders.find(name) is not None), names[0])


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _names(address: str) -> Iterator[str]:
    """What the file of an address may be called, the surest first."""
    try:
        parts = urlsplit(address)
    except ValueError:
        yield address
        return
    local = parse_qs(parts.query).get("d")
    if local:  # /data/local-files/?d=photos/a.jpg
        yield local[0]
        return
    if not parts.scheme and not address.startswith("/data/"):
        yield address
        return
    path = unquote(parts.path).lstrip("/")
    last = path.rpartition("/")[2]
    uploaded = _UPLOADED.fullmatch(last)
    yield from ([uploaded[1]] if uploaded else [])
    yield from (path, last)
