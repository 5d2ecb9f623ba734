"""Folders that are almost a dataset: one line that names the file, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from showtell.data.annotations.near_misses import nearest
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import touch, write

NEARLY: list[tuple[dict[str, object], str]] = [
    (
        {"data.csv": "photo,label\na.jpg,dog\n"},
        r"data\.csv has the columns photo,label: name its fields image and caption",
    ),
    (
        {"data.jsonl": '{"photo": "a.jpg", "label": "dog"}\n'},
        r"data\.jsonl has the fields photo, label: name its fields image and caption",
    ),
    (
        {"one.csv": "image,caption\na.jpg,x\n", "two.csv": "image,caption\na.jpg,x\n"},
        r"several files have captions: one\.csv, two\.csv; name one with --data\.root",
    ),
    ({}, r"1 images, and no file of captions: write captions\.csv"),
    (
        {"region_descriptions.json": [{"id": 1, "regions": [{"image_id": 1, "phrase": "a dog"}]}]},
        r"region_descriptions\.json has the fields id, regions",
    ),
    (
        {f"{n}.json": "{}" for n in range(5)},
        r"0\.json, 1\.json, 2\.json and 2 more: name the annotation file",
    ),
    ({"notes.txt": "a dog"}, r"notes\.txt, and 1 images: a text file of captions has the name of its image"),
    (
        {"my captions.xlsx": "PK"},
        r"my captions\.xlsx: a spreadsheet: save it as captions\.csv \(CSV in UTF-8\)",
    ),
    ({"data.csv": "sep=;\nphoto;label\n"}, r"data\.csv has the columns photo;label: name its fields"),
]


@pytest.mark.parametrize(("files", "message"), NEARLY)
def test_what_is_nearly_a_dataset_is_named(tmp_path: Path, files: dict[str, object], message: str) -> None:
    touch(tmp_path, "a.jpg")
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(AnnotationError, match=message) as caught:
        load_annotations(tmp_path)
    assert "no captions of a known format in it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_nothing(tmp_path: Path) -> None:
    assert nearest(tmp_path, ["csv"]) == "neither images nor annotation files: correct the path"


def test_a_file_is_described_by_its_fields(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "photo,label\n")
    assert nearest(file, ["coco", "csv"]).startswith(
        "it has the columns photo,label: write image and caption"
    )
    assert nearest(write(tmp_path / "a.XLSX", b"PK"), ["csv"]).startswith(
        "a spreadsheet: save it as captions.csv"
    )
    assert nearest(write(tmp_path / "a.bin", b"\0"), ["coco", "csv"]).endswith("--data.format (coco, csv)")
