"""The file of results that COCO's evaluation and its server take."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from showtell.errors import DataError, UsageError
from showtell.utils.files import write_atomic

_NAME = re.compile(r"captions_[A-Za-z0-9-]+_[A-Za-z0-9-]+_results\.json")


def submission_name(split: str, name: str) -> str:
    """The official name, `captions_<split>_<name>_results.json`.

    Raises:
        UsageError: the split or the name holds anything but letters, digits and hyphens.
    """
    file = f"captions_{split}_{name}_results.json"
    if not _NAME.fullmatch(file):
        raise UsageError(f"{name!r} in {file}: a submission's name has letters, digits and hyphens only")
    return file


def check_submission(split: str, name: str, image_ids: Iterable[str]) -> None:
    """Check that captions of these images can be a submission, before they are made.

    Args:
        split: such as `val2017`.
        name: of the model.
        image_ids: of the images to be captioned.

    Raises:
        UsageError: the name cannot be part of the file's.
        DataError: an image id is no whole number.
    """
    submission_name(split, name)
    for image in image_ids:
        if not re.fullmatch(r"\d+", image):
            raise DataError(f"image {image!r}: in a submission, ids are COCO's numbers; use COCO's photos")


def write_submission(folder: Path, split: str, name: str, captions: Mapping[str, str]) -> Path:
    """Write captions in the official form, and validate the file.

    Args:
        folder: created if it is missing.
        split: such as `val2017`.
        name: of the model.
        captions: image id, a whole number as text -> caption.

    Raises:
        UsageError: the name cannot be part of the file's.
        DataError: an image id is no whole number, or a caption has no words.
        OSError: the file cannot be written.
    """
    check_submission(split, name, captions)
    path = folder / submission_name(split, name)
    entries = [{"image_id": int(image), "caption": caption} for image, caption in captions.items()]
    write_atomic(path, json.dumps(entries, ensure_ascii=False) + "\n")
    validate_submission(path, captions)
    return path


def validate_submission(path: Path, image_ids: Collection[str]) -> None:
    """Check that a file is one that the evaluation server takes: a caption of each image, once.

    Args:
        path: the file.
        image_ids: of the images to be captioned.

    Raises:
        DataError: it is not, naming the entry.
    """
    if not _NAME.fullmatch(path.name):
        raise DataError(f"{path}: a submission is named captions_<split>_<name>_results.json")
    seen: set[int] = set()
    wanted = {int(image) for image in image_ids}
    for number, entry in enumerate(_entries(path)):
        fault = _fault(entry, wanted, seen)
        if fault:
            raise DataError(f"{path}: [{number}]: {fault}; write the file again")
        seen.add(entry["image_id"])
    if wanted - seen:
        missing = min(wanted - seen)
        raise DataError(f"{path}: no caption of image {missing} ({len(wanted - seen):,} missing in all)")


def _entries(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save the file as UTF-8") from error
    except ValueError as error:
        raise DataError(f"{path}: broken JSON ({error}); write the file again") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: not a list of entries; write the file again")
    return content


def _fault(entry: Any, wanted: set[int], seen: set[int]) -> str | None:
    """The fault of an entry, or None."""
    if not isinstance(entry, dict) or entry.keys() != {"image_id", "caption"}:
        return 'not {"image_id": ..., "caption": ...}'
    image, caption = entry["image_id"], entry["caption"]
    if isinstance(image, bool) or not isinstance(image, int):
        return "its image_id is no whole number"
    if image not in wanted:
        return f"unknown image {image}"
    if image in seen:
        return f"image {image} comes twice"
    if not isinstance(caption, str) or not any(map(str.isalnum, caption)):
        return f"image {image} has no words in its caption"
    return None
