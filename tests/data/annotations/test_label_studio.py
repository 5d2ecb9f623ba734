"""Label Studio's exports: addresses of images, texts of annotators, and tasks that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import coco, touch, write


def annotation(*texts: str, **more: Any) -> dict[str, Any]:
    region = {"from_name": "c", "to_name": "i", "type": "textarea", "value": {"text": list(texts)}}
    rating = {"from_name": "r", "to_name": "i", "type": "rating", "value": {"rating": 4}}
    return {"result": [rating, region], **more}


def export(folder: Path, tasks: list[dict[str, Any]], name: str = "project-1-at-2026.json") -> Path:
    write(folder / name, json.dumps(tasks))
    return folder


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/local-files/?d=photos/a.jpg", "photos/a.jpg"),
        ("/data/local-files/?d=a%20b.jpg", "a b.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", "a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", "1a2b3c4d-a.jpg"),
        ("https://example.org/x/photos/a.jpg?size=2", "photos/a.jpg"),
        ("s3://bucket/photos/a.jpg", "a.jpg"),
        ("photos/a.jpg", "photos/a.jpg"),
    ],
)
@pytest.mark.parametrize("field", ["image", "captioning", "my_photo"])
def test_the_image_of_a_task_is_found(address: str, file: str, field: str, tmp_path: Path) -> None:
    touch((tmp_path / file).parent, Path(file).name)
    export(tmp_path, [{"id": 1, "data": {field: address}, "annotations": [annotation("a dog")]}])
    loaded = load_annotations(tmp_path)
    assert loaded.format == "label-studio"
    assert [(image.path, image.captions) for image in loaded.images] == [(tmp_path / file, ("a dog",))]


def test_only_what_annotators_wrote_is_read(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(5)))
    tasks: list[dict[str, Any]] = [
        {"annotations": [annotation("one", "two"), annotation("three")]},
        {"annotations": [annotation("no", was_cancelled=True), annotation("yes")]},
        {"annotations": [], "predictions": [annotation("a model's")]},
        {"completions": [annotation("of an old version")]},
        {"annotations": [annotation()]},
    ]
    export(tmp_path, [{"data": {"image": f"{i}.jpg"}, **task} for i, task in enumerate(tasks)])
    captions = [image.captions for image in load_annotations(tmp_path).images]
    assert captions == [("one", "two", "three"), ("yes",), ("of an old version",)]


@pytest.mark.parametrize("caption", ["a dog", ["a dog"], {"text": ["a dog"], "rating": 2}])
def test_the_flat_export_is_read(caption: object, tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    task = {"image": "/data/upload/1/00112233-a.jpg", "id": 4, "caption": caption, "annotator": 1}
    export(tmp_path, [{**task, "annotation_id": 7, "lead_time": 3.5}])
    assert load_annotations(tmp_path).images[0].captions == ("a dog",)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"data": {"n": 3}, "annotations": [annotation("a dog")]}, "'data' names no image"),
        ({"data": {"image": "b.jpg"}, "annotations": [annotation("a dog")]}, "missing image file"),
        ({"data": {"image": "a.jpg"}, "annotations": [annotation("...")]}, "empty caption"),
        (
            {"data": {"image": "a.jpg", "split": "x"}, "annotations": [annotation("a dog")]},
            "unknown split",
        ),
        ({"data": {"image": "a.jpg"}, "annotations": 3}, "wrong fields: 'annotations' is not a list"),
        ({"data": {"image": "a.jpg"}, "annotations": {"result": []}}, "'annotations' is not a list"),
        ({"data": {"image": "a.jpg"}, "annotations": [{"result": 3}]}, "'result' is not a list"),
    ],
)
def test_an_unusable_task_is_named(task: dict[str, Any], reason: str, tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    good = {"data": {"image": "a.jpg"}, "annotations": [annotation("a cat")]}
    export(tmp_path, [good, task])
    with pytest.raises(AnnotationError, match=rf"project-1-at-2026.json: \[1\].*{reason}"):
        load_annotations(tmp_path)
    assert len(load_annotations(tmp_path, skip_bad=True).skipped) == 1


def test_coco_files_and_lists_are_not_taken_for_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "captions.json", json.dumps([{"image": "a.jpg", "caption": "a dog", "data": 1}]))
    assert load_annotations(tmp_path).format == "jsonl"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("captions.csv", "image,caption\na.jpg,a cat\n", "csv"),
        ("captions.jsonl", '{"image": "a.jpg", "caption": "a cat"}\n', "jsonl"),
        ("annotations/captions_train2017.json", coco({1: "a.jpg"}, [(1, "a cat")]), "coco"),
    ],
)
def test_tasks_beside_a_dataset_do_not_replace_it(
    name: str, content: object, kind: str, tmp_path: Path
) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / name, content)
    export(tmp_path, [{"data": {"image": "a.jpg"}, "annotations": [annotation("a dog")]}], "tasks.json")
    loaded = load_annotations(tmp_path)
    assert (loaded.format, loaded.images[0].captions) == (kind, ("a cat",))
