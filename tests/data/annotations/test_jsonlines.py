"""JSON Lines and JSON lists: names of fields, datasets written so, and entries that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import (
    Make,
    Record,
    after_a_good_entry,
    check_bad_entry,
    records,
    touch,
    write,
)

RECORDS = [
    {"image": "a.jpg", "captions": ["A dog", "One dog"], "split": "test"},
    {"image": "b.jpg", "caption": "A cat"},
    {"image": "a.jpg", "caption": "Dog"},
]


@pytest.mark.parametrize("name", ["captions.jsonl", "other.jsonl", "captions.json"])
def test_records(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    lines = "\n\n".join(map(json.dumps, RECORDS))
    file = write(tmp_path / name, RECORDS if name.endswith(".json") else lines)
    expected = [("a.jpg", "test", ("A dog", "One dog", "Dog")), ("b.jpg", "train", ("A cat",))]
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("jsonl", expected)
    assert records(load_annotations(file)) == expected


def metadata(*folders: str) -> Make:
    """Hugging Face's imagefolder: a file in each folder."""

    def make(root: Path) -> None:
        for folder, image in zip(folders, ("a.jpg", "b.jpg"), strict=False):
            touch(root / folder, image)
            write(root / folder / "metadata.jsonl", f'{{"file_name": "{image}", "text": "A dog ."}}\n')

    return make


def textcaps(root: Path) -> None:
    touch(root / "train_images", "a1.jpg")
    touch(root / "test_images", "b1.jpg")
    for split, name in (("train", "a1"), ("val", "b1")):
        item = {"image_id": name, "caption_str": "A dog .", "reference_strs": ["A dog ."], "set_name": split}
        write(root / f"TextCaps_0.1_{split}.json", {"dataset_name": "textcaps", "data": [item]})


def paragraphs(root: Path) -> None:
    touch(root / "VG_100K", "1.jpg")
    touch(root / "VG_100K_2", "2.jpg")
    items = [{"image_id": n, "url": "https://x/y.jpg", "paragraph": "A dog ."} for n in (1, 2)]
    write(root / "paragraphs_v1.json", items)


def captions_by_name(root: Path) -> None:
    touch(root / "images", "a.jpg", "b.jpg")
    write(root / "captions.json", {"a.jpg": ["A dog .", "One dog ."], "b.jpg": "A cat ."})


DOG = ("A dog .",)
LAYOUTS: dict[str, tuple[Make, list[Record]]] = {
    "metadata.jsonl": (metadata("."), [("a.jpg", "train", DOG)]),
    "metadata.jsonl of each split": (
        metadata("train", "validation"),
        [("train/a.jpg", "train", DOG), ("validation/b.jpg", "val", DOG)],
    ),
    "TextCaps": (textcaps, [("a1", "train", DOG), ("b1", "val", DOG)]),
    "Visual Genome's paragraphs": (paragraphs, [("1", "train", DOG), ("2", "train", DOG)]),
    "an object of names": (
        captions_by_name,
        [("a.jpg", "train", ("A dog .", "One dog .")), ("b.jpg", "train", ("A cat .",))],
    ),
}


@pytest.mark.parametrize(("make", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_datasets_of_records(tmp_path: Path, make: Make, expected: list[Record]) -> None:
    make(tmp_path)
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded), loaded.skipped) == ("jsonl", expected, [])


def test_of_several_fields_the_one_that_names_a_file_counts(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "a.jpg")
    record = {"image": "http://x/1", "file_name": "a.jpg", "image_id": 7, "sentences": [{"raw": "A dog"}]}
    write(tmp_path / "mine.jsonl", json.dumps(record))
    assert records(load_annotations(tmp_path)) == [("a.jpg", "train", ("A dog",))]


def test_a_field_that_is_null_is_not_there(tmp_path: Path) -> None:
    """As pandas writes a table with gaps."""
    touch(tmp_path, "a.jpg")
    nulls = {"path": None, "image_id": None, "captions": None, "split": None}
    write(tmp_path / "captions.jsonl", json.dumps({"file_name": "a.jpg", "text": "A dog", **nulls}))
    assert records(load_annotations(tmp_path)) == [("a.jpg", "train", ("A dog",))]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"img_file": "a.jpg", "cap": "A"},
            r"no image \(.*\) and no caption \(.*\) among img_file, cap;",
        ),
        ({"image": "a.jpg", "words": "A"}, r"no caption \(or text, .*\) among image, words;"),
        ({"photo": "a.jpg", "captions": ["A"]}, r"no image \(or file_name, .*\) among photo, captions;"),
    ],
)
def test_fields_of_other_names_are_shown(tmp_path: Path, record: dict[str, object], message: str) -> None:
    write(tmp_path / "captions.jsonl", json.dumps(record))
    touch(tmp_path, "a.jpg")
    with pytest.raises(AnnotationError, match=f"line 1: wrong fields: {message}"):
        load_annotations(tmp_path)


def test_phrases_of_regions_are_no_captions(tmp_path: Path) -> None:
    regions = [{"id": 1, "regions": [{"image_id": 1, "phrase": "a dog"}]}]
    file = write(tmp_path / "region_descriptions.json", regions)
    with pytest.raises(AnnotationError, match="Visual Genome's regions: their phrases describe parts"):
        load_annotations(file)


BAD_ENTRIES = {
    "broken line": ('{"image": "b.jpg", "capt', "line 2", "broken JSON"),
    "no object": ("[1]", "line 2", "wrong fields"),
    "missing file": ('{"image": "c", "caption": "x"}', "line 2", "missing image file"),
    "no captions": ('{"image": "b.jpg", "captions": []}', "line 2", "image without captions"),
    "no list": ('{"image": "b.jpg", "captions": "x"}', "line 2", "wrong fields"),
    "no caption": ('{"image": "b.jpg"}', "line 2", "wrong fields"),
    "no image": ('{"image": null, "caption": "x"}', "line 2", "wrong fields"),
    "null as caption": ('{"image": "b.jpg", "caption": null}', "line 2", "wrong fields"),
    "a number": ('{"image": "a.jpg", "caption": 7}', "line 2, caption 1", "wrong fields"),
    "a null byte": (r'{"image": "x\u0000/b.jpg", "caption": "x"}', "line 2", "missing image file"),
    "a number as split": ('{"image": "b.jpg", "caption": "x", "split": 1}', "line 2", "unknown split"),
}


@pytest.mark.parametrize(("line", "entry", "reason"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_entries(tmp_path: Path, line: str, entry: str, reason: str) -> None:
    after_a_good_entry("captions.jsonl", line)(tmp_path)
    check_bad_entry(tmp_path, f"captions.jsonl: {entry}", reason)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("captions.json", "7", "wrong fields: neither COCO nor Karpathy, nor a list of"),
        ("captions.json", {"a": 1}, "wrong fields: neither COCO nor Karpathy, nor a list of"),
        ("captions.json", "[" * 100_000, "broken JSON"),
        ("captions.jsonl", " \n", "the file is empty"),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_file_that_cannot_be_used(
    tmp_path: Path, name: str, content: object, match: str, skip_bad: bool
) -> None:
    file = write(tmp_path / name, content)
    with pytest.raises(AnnotationError, match=match) as caught:
        load_annotations(file, skip_bad=skip_bad)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
