"""Checks of folders: what is there, what is missing, what decides the splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.known.check import check_dataset
from showtell.errors import AnnotationError
from tests.conftest import make_snippets
from tests.data.annotations.datasets import coco, touch, write


def test_missing_photos_are_counted_by_split(tmp_path: Path) -> None:
    for split, ids in (("train", range(4)), ("val", range(10, 12))):
        numbers = {number: f"{number}.jpg" for number in ids}
        content = coco(numbers, [(number, "a dog") for number in numbers])
        write(tmp_path / "annotations" / f"captions_{split}2017.json", content)
    touch(tmp_path / "train2017", "0.jpg", "2.jpg", "3.jpg", "other.jpg")
    touch(tmp_path / "val2017", "10.jpg", "11.jpg")
    done = check_dataset(tmp_path)
    assert {name: (part.present, part.images) for name, part in done.splits.items()} == {
        "train": (3, 4),
        "val": (2, 2),
    }
    assert done.missing == [tmp_path / "train2017" / "1.jpg"]
    assert (done.present, done.images, done.uncaptioned) == (5, 6, 1)
    assert done.known is not None
    assert done.known.name == "coco"
    assert not done.complete


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"captions.csv": "image,caption\na.jpg,a dog\n"}, "no file: all are training photos"),
        (
            {"captions.csv": "image,caption,split\na.jpg,a dog,train\nb.jpg,a cat,val\n"},
            "the field split of captions.csv",
        ),
        ({"train/a.txt": "a dog", "val/b.txt": "a cat"}, "the folders train, val and test"),
        (
            {
                "Flickr8k.token.txt": "a.jpg#0\ta dog\nb.jpg#0\ta cat\n",
                "Flickr_8k.trainImages.txt": "a.jpg",
                "Flickr_8k.devImages.txt": "b.jpg",
            },
            "Flickr_8k.devImages.txt, Flickr_8k.trainImages.txt",
        ),
        (
            {"train.csv": "image,caption\na.jpg,a dog\n", "val.csv": "image,caption\nb.jpg,a cat\n"},
            "the names of train.csv, val.csv",
        ),
        (
            {
                "train/metadata.csv": "file_name,text\na.jpg,a dog\n",
                "val/metadata.csv": "file_name,text\nb.jpg,a cat\n",
            },
            "the folders train, val",
        ),
        (
            {
                "train/metadata.jsonl": '{"file_name": "a.jpg", "text": "a dog"}',
                "val/metadata.jsonl": '{"file_name": "b.jpg", "text": "a cat"}',
            },
            "the folders train, val",
        ),
    ],
)
def test_it_says_which_file_decides_the_splits(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    for name, content in files.items():
        write(tmp_path / name, content)
    folders = ("train", "val") if any(name.startswith("train/") for name in files) else (".", ".")
    touch(tmp_path / folders[0], "a.jpg")
    touch(tmp_path / folders[1], "b.jpg")
    assert check_dataset(tmp_path).decided_by.startswith(expected)


def test_unusable_entries_and_archives_are_named(tmp_path: Path) -> None:
    write(tmp_path / "captions.csv", "image,caption\na.jpg,a dog\nb.jpg,...\n")
    touch(tmp_path, "a.jpg", "b.jpg", "photos.zip")
    done = check_dataset(tmp_path)
    assert dict(done.unusable) == {"empty caption": 1, "image without captions": 1}
    assert done.archives == ["photos.zip"]
    assert not done.complete


def test_damaged_photos_are_found_where_they_are_decoded(tmp_path: Path) -> None:
    make_snippets(tmp_path, 2)
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    names = ("0000.jpg", "0001.jpg", "bad.jpg")
    write(tmp_path / "captions.csv", "image,caption\n" + "".join(f"{name},a dog\n" for name in names))
    assert check_dataset(tmp_path).complete
    done = check_dataset(tmp_path, decode=True)
    assert list(done.unreadable) == [tmp_path / "bad.jpg"]
    assert not done.complete


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(AnnotationError, match="no captions of a known format"):
        check_dataset(tmp_path)
