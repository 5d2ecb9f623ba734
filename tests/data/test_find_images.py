"""Image files of folders, patterns and names: in order, each once."""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path

import pytest

from showtell.data.find_images import IMAGE_SUFFIXES, find_images
from showtell.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a folder `photos` in it."""
    monkeypatch.chdir(tmp_path)
    in_photos = [
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.jpg",
        "z/c.jpeg",
        "z/y/d.webp",
        ".cache/e.jpg",
        "m/f.tif",
    ]
    for name in [f"photos/{name}" for name in in_photos] + ["one.jpg", "two.jpg", "odd[1].jpg"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def posix(names) -> list[str]:
    return [Path(name).as_posix() for name in names]


def test_files_are_named_as_given_missing_and_twice_too(folder: Path) -> None:
    names = ["./one.jpg", str(folder / "two.jpg"), "one.jpg", "nowhere.jpg", "one.jpg", "photos/notes.txt"]
    assert list(find_images(names)) == names


def test_a_folder_is_searched_in_order_by_suffix(folder: Path) -> None:
    expected = ["a.PNG", "b.jpg", "m/f.tif", "z/c.jpeg", "z/y/d.webp"]
    assert posix(find_images(["photos"])) == [f"photos/{name}" for name in expected]
    assert posix(find_images(["photos/"], recursive=False)) == ["photos/a.PNG", "photos/b.jpg"]
    assert posix(find_images([str(folder / "photos")]))[0] == (folder / "photos" / "a.PNG").as_posix()


def test_a_hidden_folder_that_is_named_is_searched(folder: Path) -> None:
    assert posix(find_images(["photos/.cache"])) == ["photos/.cache/e.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["odd[1].jpg", "one.jpg", "two.jpg"]),
        ("photos/**/*.jpeg", ["photos/z/c.jpeg"]),
        ("photos/*", ["photos/a.PNG", "photos/b.jpg", "photos/notes.txt"]),
        ("[ot]*o.jpg", ["two.jpg"]),
        ("odd[1].jpg", ["odd[1].jpg"]),  # a file of that very name
    ],
)
def test_globs(folder: Path, pattern: str, expected: list[str]) -> None:
    assert posix(find_images([pattern])) == expected
    if "odd" not in pattern:
        assert [Path(name) for name in find_images([str(folder / pattern)])] == [folder / e for e in expected]


def test_standard_input_is_read_line_by_line(folder: Path) -> None:
    def lines():
        yield "one.jpg\n"
        yield "\n"
        yield "a name with spaces.jpg \r\n"
        raise AssertionError("read too far")

    names = find_images(["two.jpg", "-"], stdin=lines())
    assert list(itertools.islice(names, 3)) == ["two.jpg", "one.jpg", "a name with spaces.jpg "]
    assert list(find_images(["-"], stdin=io.StringIO("photos\nlast.jpg"))) == ["photos", "last.jpg"]


def test_standard_input_is_the_process_s_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a.jpg\n"))
    assert list(find_images(["-"])) == ["a.jpg"]


def test_standard_input_that_is_closed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        find_images(["-"])


@pytest.mark.parametrize("name", [f"{'x' * 300}.jpg", f"{'x' * 300}/a.jpg", f"[{'x' * 300}].jpg"])
def test_a_name_that_is_too_long_is_a_missing_file(folder: Path, name: str) -> None:
    if "[" in name:
        with pytest.raises(UsageError, match="no file matches"):
            find_images([name])
    else:
        assert list(find_images(["one.jpg", name])) == ["one.jpg", name]


@pytest.mark.parametrize("name", ["x" * 300, f"{'x' * 300}/folder", f"{'x' * 300}/"])
def test_a_folder_whose_name_is_too_long_is_missing(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        find_images([name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*.gif", r"^\*\.gif: no file matches this pattern$"),
        ("photos/z*", r"^photos/z\*: no file matches"),  # only a folder does
        ("empty", "^empty: no image files in this folder$"),
        ("", "empty name"),
        ("https://x.org/a.jpg?w=*", "a.jpg.*is a URL, and showtell downloads nothing; download the image"),
    ],
)
def test_mistakes_show_before_anything_is_read(folder: Path, name: str, message: str) -> None:
    (folder / "empty" / "below").mkdir(parents=True)
    (folder / "empty" / "below" / "notes.txt").touch()
    with pytest.raises(UsageError, match=message):
        find_images(["one.jpg", name])


def test_images_only_in_sub_folders_do_not_count_where_not_recursive(folder: Path) -> None:
    (folder / "photos" / "z" / "c.jpeg").unlink()
    assert posix(find_images(["photos/z"])) == ["photos/z/y/d.webp"]
    with pytest.raises(UsageError):
        find_images(["photos/z"], recursive=False)


def test_a_folder_is_walked_as_names_are_taken(folder: Path) -> None:
    names = find_images(["photos"])
    assert Path(next(names)).name == "a.PNG"
    (folder / "photos" / "z" / "new.png").touch()
    assert "new.png" in [Path(name).name for name in names]


def test_an_unreadable_folder_within_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "z":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert posix(find_images(["photos"])) == ["photos/a.PNG", "photos/b.jpg", "photos/m/f.tif", "photos/z"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_named_pipes_in_a_folder_are_passed_over(folder: Path) -> None:
    photos = folder / "photos"
    os.mkfifo(photos / "pipe.jpg")
    for name, target in (("l.jpg", "pipe.jpg"), ("m.jpg", "b.jpg"), ("gone.jpg", "none"), ("o.jpg", "o.jpg")):
        (photos / name).symlink_to(photos / target)
    names = posix(find_images(["photos"], recursive=False))
    assert names == [f"photos/{name}" for name in ("a.PNG", "b.jpg", "gone.jpg", "m.jpg", "o.jpg")]
    assert list(find_images(["photos/pipe.jpg"])) == ["photos/pipe.jpg"]  # as from <(...) of a shell


def test_a_link_to_another_drive_is_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(paths):
        raise ValueError("Paths don't have the same drive")

    (folder / "other").mkdir()
    (folder / "other" / "x.jpg").touch()
    (folder / "photos" / "drive").symlink_to(folder / "other", target_is_directory=True)
    monkeypatch.setattr(os.path, "commonpath", refuse)
    assert "photos/drive/x.jpg" in posix(find_images(["photos"]))


def test_links_to_folders_above_do_not_loop(folder: Path) -> None:
    (folder / "photos" / "m" / "up").symlink_to(folder / "photos", target_is_directory=True)
    assert len(list(find_images(["photos"]))) == 5


def test_links_to_folders_are_followed_once(folder: Path) -> None:
    (folder / "elsewhere" / "deep").mkdir(parents=True)
    (folder / "elsewhere" / "deep" / "x.jpg").touch()
    photos = folder / "photos"
    for name, target in (("l1", "elsewhere"), ("l2", "elsewhere"), ("l3", "elsewhere/deep")):
        (photos / name).symlink_to(folder / target, target_is_directory=True)
    (folder / "elsewhere" / "back").symlink_to(photos, target_is_directory=True)
    (folder / "elsewhere" / "self").symlink_to(folder / "elsewhere", target_is_directory=True)
    (photos / "gone").symlink_to(folder / "nowhere", target_is_directory=True)
    names = posix(find_images(["photos"]))
    assert [name for name in names if "/l" in name] == ["photos/l1/deep/x.jpg"]
    assert len(names) == 6


def test_a_folder_of_links_alone_and_a_link_to_a_folder(folder: Path) -> None:
    (folder / "library").mkdir()
    (folder / "library" / "holiday").symlink_to(folder / "photos", target_is_directory=True)
    assert len(list(find_images(["library"]))) == len(list(find_images(["photos"])))
    assert len(list(find_images(["library/holiday"]))) == len(list(find_images(["photos"])))


def test_what_systems_leave_is_passed_over(folder: Path) -> None:
    before = posix(find_images(["photos"]))
    (folder / "photos" / "__MACOSX").mkdir()
    (folder / "photos" / "__MACOSX" / "a.jpg").touch()
    (folder / "photos" / "._a.jpg").touch()
    assert posix(find_images(["photos"])) == before


def test_every_suffix_is_lower_case_with_a_dot() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
