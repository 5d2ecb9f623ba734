"""Flickr8k and Flickr30k: the official text files, Kaggle's tables, and lines that cannot be used."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from tests.data.annotations.datasets import Make, check_bad_entry, records, touch, write

KAGGLE = "image_name| comment_number| comment\na.jpg| 0| A dog | wet .\nb.jpg| 0   A cat , small .\n"
"""As Kaggle has Flickr30k: a bar within a caption, and a row without its second bar."""


@pytest.mark.parametrize("folder", ["Images", "Flicker8k_Dataset", "Flickr8k_Dataset"])
def test_the_official_files(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / folder, "a.jpg", "b.jpg", "c.jpg")
    lines = ["b.jpg#0\tA cat .", "a.jpg#0\tA dog .", "unlisted.jpg.1#0\tA ghost .", "a.jpg#1\tOne # dog ."]
    write(tmp_path / "Flickr8k.token.txt", "\n".join(lines) + "\n")
    write(tmp_path / "Flickr_8k.trainImages.txt", "a.jpg\r\n")
    write(tmp_path / "Flickr_8k.devImages.txt", "b.jpg\n\n")
    loaded = load_annotations(tmp_path)
    assert loaded.format == "flickr8k"
    assert records(loaded) == [("a.jpg", "train", ("A dog .", "One # dog .")), ("b.jpg", "val", ("A cat .",))]


def unpacked(text: str, images: str, *, lists: str = "Flickr_8k") -> Make:
    def make(root: Path) -> None:
        touch(root / images, "a.jpg", "b.jpg")
        write(root / text / "Flickr8k.token.txt", "a.jpg#0\tA dog .\nb.jpg#0\tA cat .\n")
        write(root / text / f"{lists}.trainImages.txt", "a.jpg\n")
        write(root / text / f"{lists}.devImages.txt", "b.jpg\n")

    return make


TRAIN_AND_VAL = [("a.jpg", "train", ("A dog .",)), ("b.jpg", "val", ("A cat .",))]


@pytest.mark.parametrize(
    "make",
    [
        unpacked("Flickr8k_text", "Flicker8k_Dataset"),
        unpacked("text", "Flickr8k_Dataset/Flicker8k_Dataset"),  # an archive in a folder of its name
        unpacked("", "all_photos", lists="Flickr8k"),
    ],
    ids=["two folders", "nested", "other names"],
)
def test_archives_as_they_are_unpacked(tmp_path: Path, make: Make) -> None:
    make(tmp_path)
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded), loaded.skipped) == ("flickr8k", TRAIN_AND_VAL, [])


def test_images_are_looked_for_beside_the_folder_of_texts(tmp_path: Path) -> None:
    unpacked("Flickr8k_text", "Flicker8k_Dataset")(tmp_path)
    assert records(load_annotations(tmp_path / "Flickr8k_text")) == TRAIN_AND_VAL
    assert records(load_annotations(tmp_path / "Flickr8k_text" / "Flickr8k.token.txt")) == TRAIN_AND_VAL


def test_without_lists_all_images_are_train(tmp_path: Path) -> None:
    touch(tmp_path / "Images", "a.jpg", "b.jpg")
    write(tmp_path / "Flickr8k.token.txt", "b.jpg#0\tA cat .\na.jpg#0\tA dog .\n")
    names_and_splits = [record[:2] for record in records(load_annotations(tmp_path))]
    assert names_and_splits == [("b.jpg", "train"), ("a.jpg", "train")]


def test_flickr8k_of_kaggle(tmp_path: Path) -> None:
    touch(tmp_path / "Images", "a.jpg", "b.jpg")
    rows = 'image,caption\na.jpg,"A dog, wet ."\nb.jpg,A cat .\na.jpg,One ""dog"" .\n'
    write(tmp_path / "captions.txt", rows)
    loaded = load_annotations(tmp_path)
    assert loaded.format == "flickr8k"
    assert records(loaded) == [
        ("a.jpg", "train", ("A dog, wet .", 'One ""dog"" .')),
        ("b.jpg", "train", ("A cat .",)),
    ]


@pytest.mark.parametrize(
    ("table", "images"),
    [
        ("results.csv", "flickr30k_images"),
        ("flickr30k_images/results.csv", "flickr30k_images/flickr30k_images"),
    ],
)
def test_flickr30k_of_kaggle(tmp_path: Path, table: str, images: str) -> None:
    touch(tmp_path / images, "a.jpg", "b.jpg")
    write(tmp_path / table, KAGGLE)
    loaded = load_annotations(tmp_path)
    assert loaded.format == "flickr8k"
    assert records(loaded) == [
        ("a.jpg", "train", ("A dog | wet .",)),
        ("b.jpg", "train", ("A cat , small .",)),
    ]


BAD_ENTRIES = {
    # tokens, list of train, list of dev, entry, reason
    "missing file": ("c.jpg#0\tA cat\n", "c.jpg\n", "", "trainImages.txt: line 2", "missing image file"),
    "no captions": ("", "b.jpg\n", "", "trainImages.txt: line 2", "image without captions"),
    "in two lists": ("", "", "a.jpg\n", "devImages.txt: line 1", "duplicate id"),
    "caption id twice": ("a.jpg#0\tDog\n", "", "", "token.txt: line 2", "duplicate id"),
    "empty caption": ("a.jpg#1\t\n", "", "", "token.txt: line 2", "empty caption"),
    "no tab": ("a.jpg A dog\n", "", "", "token.txt: line 2", "wrong fields"),
}


@pytest.mark.parametrize(("tokens", "train", "dev", "entry", "reason"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_entries(tmp_path: Path, tokens: str, train: str, dev: str, entry: str, reason: str) -> None:
    touch(tmp_path / "Images", "a.jpg", "b.jpg")
    write(tmp_path / "Flickr8k.token.txt", f"a.jpg#0\tA dog\n{tokens}")
    write(tmp_path / "Flickr_8k.trainImages.txt", f"a.jpg\n{train}")
    if dev:
        write(tmp_path / "Flickr_8k.devImages.txt", dev)
    check_bad_entry(tmp_path, entry, reason)


def test_flickr8k_itself(shared_data: Path) -> None:
    loaded = load_annotations(shared_data / "flickr8k")
    assert loaded.format == "flickr8k"
    assert Counter(image.split for image in loaded.images) == {"train": 6000, "val": 1000}
    assert sum(len(image.captions) for image in loaded.images) == 35_000
