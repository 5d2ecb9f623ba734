"""Label Studio's exports, and datasets written for it and for COCO's tools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from showtell.data.annotations import load_annotations
from showtell.data.annotations.write import write_coco, write_label_studio
from showtell.data.records import CaptionedImage
from showtell.errors import AnnotationError, DataError, UsageError
from tests.data.test_annotations import coco, touch, write


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


WORDS = st.text("abcdé\"',\n", min_size=1, max_size=12).filter(lambda text: any(map(str.isalnum, text)))


@st.composite
def datasets(draw: st.DrawFn) -> list[CaptionedImage]:
    return [
        CaptionedImage(
            Path(f"p {i}/é{i}.jpg"), tuple(draw(st.lists(WORDS, min_size=1, max_size=3))), split, f"é{i}"
        )
        for i, split in enumerate(draw(st.lists(st.sampled_from(["train", "val", "test"]), min_size=1)))
    ]


def facts(images: list[CaptionedImage]) -> list[tuple[Any, ...]]:
    return sorted((image.path, image.split, tuple(map(str.strip, image.captions))) for image in images)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(datasets())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, images: list[CaptionedImage]
) -> None:
    home = tmp_path_factory.mktemp("home")
    images = [replace(image, path=home / image.path) for image in images]
    for image in images:
        touch(image.path.parent, image.path.name)
    write_coco(images, home / "coco", home)
    write_label_studio(images, home / "tasks.json", home)
    for root in (home / "coco", home / "tasks.json"):
        assert facts(load_annotations(root, images=home).images) == facts(images)


def test_captions_by_models_are_marked(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    image = CaptionedImage(tmp_path / "a.jpg", ("a dog", "a cat"), "train", "42", ("person", "model"))
    (file,) = write_coco([image], tmp_path / "coco", tmp_path)
    assert [each.get("source") for each in json.loads(file.read_text())["annotations"]] == [None, "model"]
    (again,) = load_annotations(tmp_path / "coco", images=tmp_path).images
    assert (again.image_id, again.references) == ("42", ("a dog",))
    (task,) = json.loads(write_label_studio([image], tmp_path / "t.json", tmp_path).read_text())
    texts = [task[kind][0]["result"][0]["value"]["text"] for kind in ("annotations", "predictions")]
    assert texts == [["a dog"], ["a cat"]]


def test_predictions_wait_for_people(tmp_path: Path) -> None:
    image = CaptionedImage(tmp_path / "a.jpg", ("a dog",), "train", "a")
    (task,) = json.loads(
        write_label_studio([image], tmp_path / "t.json", tmp_path, predictions=True).read_text()
    )
    assert "annotations" not in task
    assert task["predictions"][0]["result"][0]["value"] == {"text": ["a dog"]}


def test_files_are_not_replaced_and_photos_elsewhere_are_refused(tmp_path: Path) -> None:
    image = CaptionedImage(tmp_path / "a.jpg", ("a dog",), "train", "a")
    write_coco([image], tmp_path, tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        write_coco([image], tmp_path, tmp_path)
    with pytest.raises(DataError, match="--home"):
        write_label_studio([image], tmp_path / "t.json", tmp_path / "other")
