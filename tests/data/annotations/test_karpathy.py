"""Karpathy's splits: of COCO, Flickr8k and Flickr30k, and entries that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import check_bad_entry, karpathy_image, records, touch, write


def test_coco_in_karpathys_splits(tmp_path: Path) -> None:
    touch(tmp_path / "train2014", "a.jpg")
    touch(tmp_path / "val2014", "b.jpg", "c.jpg", "d.jpg")
    images = [
        karpathy_image("a.jpg", "train", "A dog.", "One dog.", filepath="train2014", cocoid=7),
        karpathy_image("b.jpg", "restval", "A cat.", filepath="val2014", cocoid=8),
        karpathy_image("c.jpg", "val", "A bird.", filepath="val2014", cocoid=9),
        karpathy_image("d.jpg", "test", "A cow.", filepath="val2014", cocoid=10),
    ]
    write(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    expected = [
        ("7", "train", ("A dog.", "One dog.")),
        ("8", "train", ("A cat.",)),
        ("9", "val", ("A bird.",)),
        ("10", "test", ("A cow.",)),
    ]
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("karpathy", expected)
    assert records(load_annotations(tmp_path / "dataset_coco.json")) == expected


@pytest.mark.parametrize("folder", ["Images", "Flicker8k_Dataset", "flickr30k-images"])
def test_flickr_without_numbers(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / folder, "a.jpg")
    write(tmp_path / "dataset_flickr8k.json", {"images": [karpathy_image("a.jpg", "test", "A dog.")]})
    assert records(load_annotations(tmp_path)) == [("a.jpg", "test", ("A dog.",))]


def test_of_the_three_files_of_the_archive_the_one_with_images_is_read(tmp_path: Path) -> None:
    touch(tmp_path / "Flicker8k_Dataset", "a.jpg")
    for name, image in (("coco", "x.jpg"), ("flickr30k", "y.jpg"), ("flickr8k", "a.jpg")):
        write(tmp_path / f"dataset_{name}.json", {"images": [karpathy_image(image, "test", "A dog .")]})
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("karpathy", [("a.jpg", "test", ("A dog .",))])
    assert [file.name for file in loaded.files] == ["dataset_flickr8k.json"]
    touch(tmp_path, "x.jpg")
    with pytest.raises(
        AnnotationError, match=r"several files of Karpathy's: dataset_coco\.json, .*; name one"
    ):
        load_annotations(tmp_path)


BAD_ENTRIES = {
    "missing file": (karpathy_image("c.jpg", "val", "x"), "", "missing image file"),
    "image twice": (karpathy_image("a.jpg", "val", "x"), "", "duplicate id"),
    "no captions": (karpathy_image("b.jpg", "val"), "", "image without captions"),
    "unknown split": (karpathy_image("b.jpg", "holdout", "x"), "", "unknown split"),
    "no list of sentences": ({"filename": "b.jpg", "sentences": "x"}, "", "wrong fields"),
    "no object": (["b.jpg"], "", "wrong fields"),
    "empty caption": (karpathy_image("b.jpg", "val", "A cat", ""), ".sentences[1]", "empty caption"),
}


@pytest.mark.parametrize(("image", "place", "reason"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_entries(tmp_path: Path, image: object, place: str, reason: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / "dataset_coco.json", {"images": [karpathy_image("a.jpg", "train", "A dog"), image]})
    check_bad_entry(tmp_path, f"dataset_coco.json: images[1]{place}", reason)
