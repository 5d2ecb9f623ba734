"""Writes small datasets of every format, and compares what is read from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from showtell.data.annotations import LoadedAnnotations, load_annotations
from showtell.errors import AnnotationError

Record = tuple[str, str, tuple[str, ...]]
"""Image id, split, captions."""

Make = Callable[[Path], object]
"""Writes a dataset into a folder."""


def write(path: Path, content: object) -> Path:
    """Write text or bytes as they are, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def touch(folder: Path, *names: str) -> None:
    """Make files that stand for images; nothing opens them."""
    for name in names:
        write(folder / name, b"never opened")


def coco(images: dict[Any, str], captions: list[tuple[Any, Any]]) -> dict[str, Any]:
    """The content of a COCO file: image id -> file, and (image id, caption)."""
    return {
        "info": {},
        "images": [{"id": key, "file_name": name} for key, name in images.items()],
        "annotations": [
            {"id": n, "image_id": key, "caption": text} for n, (key, text) in enumerate(captions)
        ],
    }


def karpathy_image(name: str, split: str, *captions: str, **more: object) -> dict[str, Any]:
    """An image of one of Karpathy's files."""
    return {"filename": name, "split": split, "sentences": [{"raw": text} for text in captions], **more}


def after_a_good_entry(name: str, *more: str | bytes) -> Make:
    """A table or JSON Lines with one good image, and then the lines given."""
    good = {
        ".jsonl": '{"image": "a.jpg", "caption": "A dog"}\n',
        ".csv": "image,caption,split\na.jpg,A dog,train\n",
    }

    def make(root: Path) -> None:
        touch(root, "a.jpg", "b.jpg")
        lines = [line.encode() if isinstance(line, str) else line for line in more]
        write(root / name, good[Path(name).suffix].encode() + b"\n".join(lines))

    return make


def records(loaded: LoadedAnnotations) -> list[Record]:
    """The images of a dataset, whose files are there."""
    assert all(image.path.is_file() for image in loaded.images)
    return [(image.image_id, image.split, image.captions) for image in loaded.images]


def check_bad_entry(root: Path, entry: str, reason: str) -> None:
    """Check that the one bad entry beside `a.jpg` is refused in one line, or dropped and counted."""
    with pytest.raises(AnnotationError) as caught:
        load_annotations(root)
    message = str(caught.value)
    assert f"{entry}: {reason}: " in message
    assert str(root) in message
    assert message.endswith(", or drop and count such entries with --skip-bad")
    assert "\n" not in message

    loaded = load_annotations(root, skip_bad=True)
    assert [image.captions for image in loaded.images if image.path.name == "a.jpg"] == [("A dog",)]
    assert loaded.skipped_by_reason == {reason: 1}
    assert loaded.skipped[0].entry.endswith(entry)
    assert all(text.isprintable() for image in loaded.images for text in image.captions)
