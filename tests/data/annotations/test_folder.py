"""Folders of images: with a text file beside each, or a file of captions of any format."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.config import DatasetFormat
from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import check_bad_entry, coco, karpathy_image, records, touch, write


def test_text_files_beside_the_images(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.PNG", "val/c.webp")
    write(tmp_path / "a.txt", "A dog\r\n\n One dog \n")
    write(tmp_path / "b.txt", "A cat")
    write(tmp_path / "val/c.txt", "A bird\n")
    write(tmp_path / "README.txt", "not a caption")
    loaded = load_annotations(tmp_path)
    assert loaded.format == "folder"
    assert records(loaded) == [
        ("a.PNG", "train", ("A dog", "One dog")),
        ("b.jpg", "train", ("A cat",)),
        ("val/c.webp", "val", ("A bird",)),
    ]


def test_text_files_beside_the_images_of_folders_within(tmp_path: Path) -> None:
    touch(tmp_path, "x/b.jpg", "x/y/a.jpg", "val/z/c.jpg", "others/d.jpg")
    for name in ("x/b.jpg.txt", "x/y/a.txt", "val/z/c.txt", "others/notes.txt"):
        write(tmp_path / name, f"A dog of {name}")
    loaded = load_annotations(tmp_path)
    assert (loaded.format, sorted(records(loaded))) == (
        "folder",
        [
            ("val/z/c.jpg", "val", ("A dog of val/z/c.txt",)),
            ("x/b.jpg", "train", ("A dog of x/b.jpg.txt",)),
            ("x/y/a.jpg", "train", ("A dog of x/y/a.txt",)),
        ],
    )


@pytest.mark.parametrize("name", ["a.jpg.txt", "a.txt", "a.JPG.txt", "a.jpg.TXT"])
def test_names_of_text_files(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / name, "A dog\n")
    assert records(load_annotations(tmp_path)) == [("a.jpg", "train", ("A dog",))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.csv", "image,caption\na.jpg,A dog\n"),
        ("captions.tsv", "image\tcaption\na.jpg\tA dog\n"),
        ("captions.txt", "image,caption\na.jpg,A dog\n"),
        ("captions.txt", 'a.jpg\tA dog\nb.jpg\t"quoted\n'),
        ("captions.txt", "a.jpg#0\tA dog\n"),
        ("captions.jsonl", '{"image": "a.jpg", "caption": "A dog"}\n'),
        ("captions.json", [{"image": "a.jpg", "caption": "A dog"}]),
        ("captions.json", coco({"a.jpg": "a.jpg"}, [("a.jpg", "A dog")])),
        ("captions.json", {"images": [karpathy_image("a.jpg", "train", "A dog")]}),
    ],
)
@pytest.mark.parametrize("format_", ["auto", "folder"])
def test_a_file_of_captions_among_the_images(
    tmp_path: Path, name: str, content: object, format_: DatasetFormat
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / name, content)
    assert records(load_annotations(tmp_path, format=format_))[0] == ("a.jpg", "train", ("A dog",))


@pytest.mark.parametrize(
    ("files", "entry", "reason"),
    [
        ({"b.jpg": "x"}, "b.jpg", "image without captions"),
        ({"b.jpg": "x", "b.txt": ""}, "b.jpg", "image without captions"),
        ({"c.txt": "A cat"}, "c.txt", "missing image file"),
    ],
    ids=["no text file", "empty text file", "no image"],
)
def test_bad_entries(tmp_path: Path, files: dict[str, str], entry: str, reason: str) -> None:
    touch(tmp_path, "a.jpg")
    for name, content in {"a.txt": "A dog", **files}.items():
        write(tmp_path / name, content)
    check_bad_entry(tmp_path, entry, reason)


def test_a_text_file_that_is_no_text_is_one_bad_entry(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / "a.txt", "A dog")
    write(tmp_path / "b.txt", "\0\1")
    with pytest.raises(AnnotationError, match=r"b\.txt: not UTF-8 text: .* --skip-bad$"):
        load_annotations(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert [image.image_id for image in loaded.images] == ["a.jpg"]
    assert loaded.skipped_by_reason == {"not UTF-8 text": 1, "image without captions": 1}


def test_a_text_file_that_cannot_be_read_is_one_bad_entry(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path / "a.txt", "A dog")
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone.txt")
    (tmp_path / "c.txt").mkdir()
    with pytest.raises(AnnotationError, match=r"b\.txt: unreadable file: No such file .* --skip-bad$"):
        load_annotations(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert [image.image_id for image in loaded.images] == ["a.jpg"]
    assert loaded.skipped_by_reason == {"unreadable file": 2, "image without captions": 2}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(AnnotationError, match=r"a\.jpg: not a folder; name the folder that holds the images"):
        load_annotations(tmp_path / "a.jpg", format="folder")
