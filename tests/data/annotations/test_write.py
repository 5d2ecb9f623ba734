"""Datasets written for COCO's tools and for Label Studio are read back as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.annotations import load_annotations
from showtell.data.annotations.write import write_coco, write_label_studio
from showtell.data.records import CaptionedImage
from showtell.errors import DataError, UsageError
from tests.data.annotations.datasets import touch

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


@settings(max_examples=15)
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


def test_a_caption_that_a_person_and_a_model_wrote_alike_is_of_both(tmp_path: Path) -> None:
    image = CaptionedImage(tmp_path / "a.jpg", ("a dog", "a dog"), "train", "1", ("person", "model"))
    (task,) = json.loads(write_label_studio([image], tmp_path / "t.json", tmp_path).read_text())
    texts = [task[kind][0]["result"][0]["value"]["text"] for kind in ("annotations", "predictions")]
    assert texts == [["a dog"], ["a dog"]]


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
