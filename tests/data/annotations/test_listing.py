"""Listing a dataset's folder: no files of operating systems, links once, splits from names."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.annotations import listing, load_annotations
from showtell.data.annotations.listing import files_in, folders_in, split_in_name
from tests.data.annotations.datasets import records, touch, write


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("captions_val2017", "val"),
        ("TextCaps_0.1_train", "train"),
        ("nocaps_val_4500_captions", "val"),
        ("test", "test"),
        ("my-dev", "val"),
        ("trainings", None),
        ("contest", None),
        ("trainval", None),
        ("train_and_test", None),
    ],
)
def test_splits_in_names(name: str, split: str | None) -> None:
    assert split_in_name(name) == split


def test_files_by_their_endings(tmp_path: Path) -> None:
    touch(tmp_path, "b.JSON", "a.json", "c.csv", "._a.json", ".hidden.json", "sub.json/x")
    assert [file.name for file in files_in(tmp_path, ".json", ".tsv")] == ["a.json", "b.JSON", "sub.json"]
    assert files_in(tmp_path / "none", ".json") == []


def test_folders_nearest_first(tmp_path: Path) -> None:
    touch(tmp_path, "b/d/x", "a/c/e/x", "__MACOSX/x", ".git/x")
    inside = [path.relative_to(tmp_path).as_posix() for path in folders_in(tmp_path, 2)]
    assert inside == ["a", "b", "a/c", "b/d"]
    assert list(folders_in(tmp_path / "none", 2)) == []


def test_no_more_folders_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MOST_FOLDERS", 5)
    for number in range(9):
        (tmp_path / str(number)).mkdir()
    assert len(list(folders_in(tmp_path, 3))) == 4  # and the folder itself


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.jpg")
    write(tmp_path / "set" / "captions.csv", "image,caption\na.jpg,A dog\n")
    (tmp_path / "set" / "photos").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "set" / "again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set", target_is_directory=True)
    assert [path.name for path in folders_in(tmp_path / "set", 9)] == ["again"]
    assert load_annotations(tmp_path / "set").images[0].path.name == "a.jpg"


@pytest.mark.parametrize(
    "left", ["._a.jpg", "._a.txt", "._captions.csv", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.csv"]
)
@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_what_systems_leave_is_no_part_of_a_dataset(tmp_path: Path, left: str, kind: str) -> None:
    touch(tmp_path, "a.jpg")
    if kind == "csv":
        write(tmp_path / "mine.csv", "image,caption\na.jpg,A dog\n")
    else:
        write(tmp_path / "a.txt", "A dog\n")
    write(tmp_path / left, b"\0\5\x16\7Mac OS X")
    write(tmp_path / "__MACOSX" / "._mine.csv", b"\0\5\x16\7")
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == (kind, [("a.jpg", "train", ("A dog",))])
