"""Finding image files by names that were written on another system, in few questions to the disk."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from tests.data.annotations.datasets import touch

SAME_NAMES = {
    # as written, as the file is called
    "composed": ("caf\u00e9.jpg", "cafe\u0301.jpg"),
    "decomposed": ("cafe\u0301.jpg", "caf\u00e9.jpg"),
    "in a folder": ("\u00e9t\u00e9/a.jpg", "e\u0301te\u0301/a.jpg"),
    "of Windows": ("images\\a.jpg", "images/a.jpg"),
    "of Windows, nested": (".\\b\\c\\a.jpg", "b/c/a.jpg"),
    "of another machine": ("C:\\Users\\me\\set\\b\\a.jpg", "b/a.jpg"),
    "of the web": ("https://x.org/b/a.jpg", "b/a.jpg"),
    "of a bucket": ("s3://x/b/a.jpg", "a.jpg"),
    "of a notebook": ("/kaggle/input/set/Images/a.jpg", "Images/a.jpg"),
    "ending in capitals": ("a.jpg", "a.JPG"),
    "ending in small letters": ("a.JPEG", "a.jpeg"),
    "without ending": ("a.b", "a.b.png"),
    "with a dot before": ("./a.jpg", "a.jpg"),
    "with spaces around": (" a.jpg\t", "a.jpg"),
}


@pytest.mark.parametrize(("written", "name"), SAME_NAMES.values(), ids=SAME_NAMES)
def test_a_name_that_looks_the_same_is_taken(tmp_path: Path, written: str, name: str) -> None:
    touch(tmp_path, name)
    assert ImageFolders([tmp_path], [tmp_path]).find(written) == tmp_path / name


@pytest.mark.parametrize("name", [" lead.jpg", "trail.jpg ", " in/ a.jpg", "both.jpg"])
def test_a_name_with_spaces_around_is_taken_first(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "both.jpg ")
    assert ImageFolders([tmp_path]).find(name) == tmp_path / name


@given(st.text(st.characters(categories=["L", "M"], max_codepoint=0x1FFF), min_size=1, max_size=6))
def test_any_normal_form_leads_to_the_file(tmp_path_factory: pytest.TempPathFactory, stem: str) -> None:
    folder = tmp_path_factory.mktemp("forms")
    composed, decomposed = (f"{unicodedata.normalize(form, stem)}.jpg" for form in ("NFC", "NFD"))
    for inside, name, written in (("c", composed, decomposed), ("d", decomposed, composed)):
        touch(folder / inside, name)
        assert ImageFolders([folder / inside]).find(written) == folder / inside / name


def test_of_two_names_that_look_the_same_neither_is_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPG", "a.Jpg")
    assert ImageFolders([tmp_path]).find("a.jpg") is None
    touch(tmp_path, "a.jpg")
    assert ImageFolders([tmp_path]).find("a.jpg") == tmp_path / "a.jpg"


def test_the_first_folder_that_has_the_file_wins(tmp_path: Path) -> None:
    touch(tmp_path / "one", "a.jpg")
    touch(tmp_path / "two", "a.jpg", "b.jpg")
    folders = ImageFolders([tmp_path / "one", tmp_path / "two", tmp_path / "none"])
    assert folders.find("a.jpg") == tmp_path / "one" / "a.jpg"
    assert folders.find("b.jpg") == tmp_path / "two" / "b.jpg"
    assert folders.find("c.jpg") is None
    assert folders.first("c.jpg") == tmp_path / "one" / "c.jpg"
    assert str(folders) == f"{tmp_path / 'one'} or {tmp_path / 'two'}"


def test_the_folder_itself_may_be_in_the_name(tmp_path: Path) -> None:
    touch(tmp_path / "set" / "images", "a.jpg")
    folders = ImageFolders([tmp_path / "set" / "images"])
    assert folders.find("set/images/a.jpg") == folders.find("images/a.jpg") == folders.first("a.jpg")


def test_an_image_below_in_several_folders_is_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path / "cats", "1.jpg")
    touch(tmp_path / "dogs", "1.jpg", "2.jpg")
    folders = ImageFolders([tmp_path], [tmp_path])
    assert folders.find("2.jpg") == tmp_path / "dogs" / "2.jpg"
    with pytest.raises(EntryError, match=r"several image files: '1\.jpg' is in .*cats and .*dogs"):
        folders.find("1.jpg")
    assert folders.find("dogs/1.jpg") == tmp_path / "dogs" / "1.jpg"


@pytest.mark.parametrize("name", ["x\0.jpg", "a/x\0.jpg", "", "/", "..", "x" * 5000])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg")
    assert ImageFolders([tmp_path], [tmp_path]).find(name) is None


def test_folders_are_listed_and_files_not_asked_for_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.jpg" for number in range(50)]
    touch(tmp_path, *names)
    asked: list[object] = []
    stat, scandir = os.stat, os.scandir
    monkeypatch.setattr(os, "stat", lambda *a, **k: (asked.append(a), stat(*a, **k))[1])
    monkeypatch.setattr(os, "scandir", lambda *a: (asked.append(a), scandir(*a))[1])
    folders = ImageFolders([tmp_path / "none", tmp_path], [tmp_path])
    assert all(folders.find(name) for name in names)
    assert 0 < len(asked) < 20
