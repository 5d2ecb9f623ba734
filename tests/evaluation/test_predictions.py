from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.caption import Caption
from showtell.data.records import CaptionedImage
from showtell.errors import AnnotationError, UsageError
from showtell.evaluation.predictions import read_predictions
from showtell.output import Record, make_writer

IMAGES = [CaptionedImage(Path("photos") / f"{n:03}.jpg", ("a dog",), "val", str(n)) for n in (1, 2, 3)]
CANDIDATES = {"1": ("a cat",), "2": ("two dogs",), "3": ("a man",)}


def results() -> list[Any]:
    return [{"image_id": int(image), "caption": captions[0]} for image, captions in CANDIDATES.items()]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_cocos_results(tmp_path: Path) -> None:
    predictions = read_predictions(write(tmp_path / "r.json", results()[::-1]), IMAGES)
    assert predictions.captions == CANDIDATES
    assert list(predictions.captions) == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["predictions.jsonl", "predictions.csv"])
def test_what_inference_writes(tmp_path: Path, name: str) -> None:
    candidates = {
        "1": ("a cat", "a kitten"),
        "2": ("two dogs, one with “quotes”", "dogs"),
        "3": ("a man", "men"),
    }
    with make_writer(tmp_path / name) as writer:
        for image in IMAGES:
            captions = tuple(Caption(text, (), (-1.0,)) for text in candidates[image.image_id])
            writer.add(Record(f"elsewhere/{image.path.name}", captions))
    assert read_predictions(tmp_path / name, IMAGES).captions == candidates


@pytest.mark.parametrize(
    "names", [["1", "2", "3"], [str(i.path) for i in IMAGES], ["001.jpg", "2", "x/003.jpg"]]
)
@pytest.mark.parametrize("column", ["image", "image_id"])
def test_images_are_named_by_id_path_or_file(tmp_path: Path, names: list[str], column: str) -> None:
    rows = [[column, "caption"], *([name, CANDIDATES[str(n)][0]] for n, name in enumerate(names, start=1))]
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert read_predictions(tmp_path / "predictions.csv", IMAGES).captions == CANDIDATES


BROKEN: dict[str, tuple[Any, str]] = {
    "unknown": ({"image_id": 77, "caption": "a dog"}, r"\[3\]: caption of an unknown image: '77'"),
    "duplicate": ({"image_id": 2, "caption": "a dog"}, r"\[3\]: duplicate id: 'image' '2'"),
    "named twice": ({"image": "002.jpg", "caption": "a dog"}, r"\[3\]: duplicate id"),
    "empty": ({"image_id": 3, "caption": " . "}, r"\[3\]: empty caption"),
    "number": ({"image_id": 3, "caption": 5}, r"\[3\]: wrong fields: the caption is not text"),
    "no id": ({"caption": "a dog"}, r"\[3\]: wrong fields: 'image' is missing"),
    "no object": ([1], r"\[3\]: wrong fields: the entry is not an object"),
    "no caption": ({"image_id": 3}, r"\[3\]: wrong fields: 'caption' is missing"),
    "failed": ({"image": "3", "error": "truncated"}, r"\[3\]: photo that could not be captioned: '3'"),
    "surrogate": ({"image_id": 3, "caption": "a \udcff dog"}, r"\[3\]: not UTF-8 text"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_entries_are_named_or_counted(tmp_path: Path, case: str) -> None:
    entry, message = BROKEN[case]
    clash = case in ("unknown", "duplicate", "named twice")  # a fourth entry, or in place of the third
    good = results() if clash else results()[:2]
    file = write(tmp_path / "r.json", [*good, entry])
    message = message.replace("[3", f"[{len(good)}")
    with pytest.raises(AnnotationError, match=message) as raised:
        read_predictions(file, IMAGES)
    assert "--skip-bad" in str(raised.value)
    assert "\n" not in str(raised.value)
    predictions = read_predictions(file, IMAGES, skip_bad=True)
    if case == "empty":
        assert predictions.captions == CANDIDATES | {"3": ("",)}
        assert predictions.skipped_by_reason == {"empty caption, counted as wrong": 1}
        return
    assert predictions.captions == (
        CANDIDATES if clash else {image: CANDIDATES[image] for image in ("1", "2")}
    )
    assert len(predictions.skipped) == (1 if clash else 2)  # an image without its caption counts too


def test_images_without_a_caption_are_named_or_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "r.json", results()[:1])
    with pytest.raises(AnnotationError, match=r"no caption of an image: image '2' and 1 more"):
        read_predictions(file, IMAGES)
    predictions = read_predictions(file, IMAGES, skip_bad=True)
    assert predictions.skipped_by_reason == {"no caption of an image": 2}
    with pytest.raises(AnnotationError, match="no caption of these images"):
        read_predictions(write(file, []), IMAGES, skip_bad=True)


def test_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "predictions.csv"
    file.write_bytes("image,caption\n1,a cat\n2,a café\n3,a man\n".encode("latin-1"))
    with pytest.raises(AnnotationError, match=r"predictions.csv: line 3: not UTF-8 text"):
        read_predictions(file, IMAGES)
    (tmp_path / "wide.jsonl").write_text('{"image": "1", "caption": "a"}', encoding="utf-16")
    with pytest.raises(AnnotationError, match="not UTF-8 text; save the file as UTF-8"):
        read_predictions(tmp_path / "wide.jsonl", IMAGES)


def test_a_line_of_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text('{"image": "1", "caption": "a cat"}\n{"image": "2", "cap')
    with pytest.raises(AnnotationError, match=r"predictions.jsonl: line 2: broken JSON"):
        read_predictions(tmp_path / "predictions.jsonl", IMAGES)


def test_two_images_of_one_name_need_their_ids(tmp_path: Path) -> None:
    twins = [CaptionedImage(Path(folder) / "1.jpg", ("a dog",), "val", folder) for folder in ("a", "b")]
    file = write(tmp_path / "r.json", [{"image": "1.jpg", "caption": "a cat"}])
    with pytest.raises(AnnotationError, match=r"several images are named '1\.jpg'"):
        read_predictions(file, twins)


@pytest.mark.parametrize("name", ["predictions.txt", "missing.json"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "predictions.txt").write_text("x")
    with pytest.raises(UsageError):
        read_predictions(tmp_path / name, IMAGES)


@settings(max_examples=40)
@given(st.binary(max_size=60), st.sampled_from([".json", ".jsonl", ".csv"]))
def test_nonsense_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    file = tmp_path_factory.mktemp("nonsense") / f"predictions{suffix}"
    file.write_bytes(content)
    for skip_bad in (False, True):
        with pytest.raises(AnnotationError, match=f"predictions{suffix}"):
            read_predictions(file, IMAGES, skip_bad=skip_bad)


@pytest.mark.parametrize(("base", "slash"), [("photos", "/"), ("elsewhere", "/"), ("C:\\photos", "\\")])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_file_of_the_same_name_in_another_split_is_another_image(
    base: str, slash: str, skip_bad: bool, tmp_path: Path
) -> None:
    train, val = (
        CaptionedImage(Path("photos", split, "1.jpg"), ("a dog",), split, f"id of {split}")
        for split in ("train", "val")
    )
    file = tmp_path / "predictions.jsonl"
    lines = [{"image": slash.join([base, name, "1.jpg"]), "caption": name} for name in ("train", "val")]
    file.write_text("\n".join(map(json.dumps, lines)))
    if skip_bad:
        read = read_predictions(file, [val], others=[train], skip_bad=True)
        assert read.captions == {"id of val": ("val",)}
        assert len(read.skipped) == 1
    else:
        with pytest.raises(AnnotationError, match="it is in the split 'train'"):
            read_predictions(file, [val], others=[train])
