"""Write a dataset in the forms of other tools: COCO captions JSON, and tasks for Label Studio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from showtell.data.records import CaptionedImage, Split
from showtell.errors import DataError, UsageError
from showtell.utils.files import write_atomic

LABELING_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <TextArea name="caption" toName="image" rows="3" editable="true" maxSubmissions="5"/>
</View>
"""
"""The labeling configuration that the tasks of `write_label_studio` belong to."""


def write_coco(images: Sequence[CaptionedImage], folder: Path, home: Path) -> list[Path]:
    """Write `annotations/captions_<split>.json` for each split, as COCO's caption files are written.

    Ids that are whole numbers stay, others are numbered from 1. Captions that a model wrote have
    `"source": "model"`. Sizes of images are not written.

    Args:
        images: the dataset.
        folder: where the files go.
        home: folder that the names of the images are relative to.

    Returns:
        The files.

    Raises:
        UsageError: one of them is there already.
    """
    splits = list(dict.fromkeys(image.split for image in images))
    files = {split: folder / "annotations" / f"captions_{split}.json" for split in splits}
    for file in files.values():
        if file.exists():
            raise UsageError(f"{file}: is there already; name another --out")
    numbers = _numbers(images)
    for split, file in files.items():
        write_atomic(file, json.dumps(_coco(images, split, numbers, home), ensure_ascii=False) + "\n")
    return list(files.values())


def _numbers(images: Sequence[CaptionedImage]) -> list[int]:
    ids = [image.image_id for image in images]
    if all(name.isascii() and name.isdecimal() for name in ids) and len(set(map(int, ids))) == len(ids):
        return [int(name) for name in ids]
    return list(range(1, len(ids) + 1))


def _coco(images: Sequence[CaptionedImage], split: Split, numbers: list[int], home: Path) -> dict[str, Any]:
    inside = [(number, image) for number, image in zip(numbers, images, strict=True) if image.split == split]
    annotations: list[dict[str, Any]] = []
    for number, image in inside:
        for index, caption in enumerate(image.captions):
            annotation: dict[str, Any] = {"id": len(annotations) + 1, "image_id": number, "caption": caption}
            if image.authors and image.authors[index] == "model":
                annotation["source"] = "model"
            annotations.append(annotation)
    names = [{"id": number, "file_name": _name(image.path, home)} for number, image in inside]
    return {"info": {"description": f"captions of {split}"}, "images": names, "annotations": annotations}


def write_label_studio(
    images: Sequence[CaptionedImage], file: Path, home: Path, *, predictions: bool = False
) -> Path:
    """Write the tasks of a dataset as Label Studio imports them; `LABELING_CONFIG` belongs to them.

    Images have the address of a local file (`/data/local-files/?d=...`) relative to `home`, which has to be
    Label Studio's document root. Human captions are annotations; those of a model are predictions.

    Args:
        images: the dataset.
        file: the file to write.
        home: folder that the names of the images are relative to.
        predictions: write all captions as predictions, for people to correct.

    Returns:
        The file.
    """
    tasks = []
    for image in images:
        authors = image.authors or ("person",) * len(image.captions)
        by_people: list[str] = []
        by_models: list[str] = []
        for caption, author in zip(image.captions, authors, strict=True):
            (by_people if author == "person" and not predictions else by_models).append(caption)
        address = f"/data/local-files/?d={quote(_name(image.path, home))}"
        task: dict[str, Any] = {"data": {"image": address, "split": image.split}}
        if by_people:
            task["annotations"] = [{"result": [_region(by_people)]}]
        if by_models:
            task["predictions"] = [{"model_version": "showtell", "result": [_region(by_models)]}]
        tasks.append(task)
    return write_atomic(file, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")


def _region(captions: list[str]) -> dict[str, Any]:
    return {"from_name": "caption", "to_name": "image", "type": "textarea", "value": {"text": captions}}


def _name(path: Path, home: Path) -> str:
    """The name of an image relative to a folder.

    Raises:
        DataError: it is not in the folder.
    """
    for file, folder in ((path.absolute(), home.absolute()), (path.resolve(), home.resolve())):
        if file.is_relative_to(folder):
            return file.relative_to(folder).as_posix()
    raise DataError(f"{path}: not in {home}; name the folder that has all photos with --home")
