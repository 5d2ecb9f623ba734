"""Rules for annotations of all formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.annotations import load_annotations
from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import after_a_good_entry, coco, records, touch, write


@pytest.fixture
def folders(tmp_path: Path) -> ImageFolders:
    touch(tmp_path, "a.jpg", "b.jpg")
    return ImageFolders([tmp_path])


def test_images_come_in_the_order_of_their_first_appearance(folders: ImageFolders, tmp_path: Path) -> None:
    collector = Collector(skip_bad=False)
    for name, caption, author in (("b.jpg", "one", "person"), ("a.jpg", " two\n", "model")):
        collector.merge_image(name, None, folders)
        collector.add_caption(name, caption, author)
    collector.merge_image("b.jpg", "train", folders)
    collector.add_caption("b.jpg", "three")
    collector.reads(tmp_path / "x.csv")
    loaded = collector.finish(tmp_path, "csv")
    assert [(image.image_id, image.captions, image.authors) for image in loaded.images] == [
        ("b.jpg", ("one", "three"), ()),  # people wrote all of them
        ("a.jpg", ("two",), ("model",)),
    ]
    assert loaded.files == (tmp_path / "x.csv",)


def test_an_image_is_in_one_split(folders: ImageFolders) -> None:
    collector = Collector(skip_bad=False)
    collector.merge_image("a.jpg", "val", folders)
    collector.merge_image("a.jpg", None, folders)  # a row that names no split
    with pytest.raises(EntryError, match=r"two splits: 'a\.jpg' is in val and test"):
        collector.merge_image("a.jpg", "test", folders)


def test_ids_and_files_come_once(folders: ImageFolders) -> None:
    collector = Collector(skip_bad=False)
    collector.add_image("1", "a.jpg", "train", folders)
    with pytest.raises(EntryError, match="duplicate id: image '1'"):
        collector.add_image("1", "b.jpg", "train", folders)
    with pytest.raises(EntryError, match=r"duplicate image file: 'a\.jpg'"):
        collector.add_image("2", "a.jpg", "train", folders)
    with pytest.raises(EntryError, match="duplicate id: image '2'"):  # one that was refused is known, too
        collector.add_image("2", "b.jpg", "train", folders)


def test_captions_of_a_dropped_image_go_with_it(folders: ImageFolders, tmp_path: Path) -> None:
    collector = Collector(skip_bad=True)
    for key, name in (("1", "a.jpg"), ("2", "gone.jpg")):
        with collector.entry(f"image {key}"):
            collector.add_image(key, name, "train", folders)
    for key in ("1", "2", "2", "3"):
        with collector.entry(f"caption of {key}"):
            collector.add_caption(key, "A dog")
    loaded = collector.finish(tmp_path, "coco")
    assert [(item.entry, item.reason) for item in loaded.skipped] == [
        ("image 2", "missing image file"),
        ("caption of 3", "caption of an unknown image"),
    ]
    assert loaded.skipped_by_reason == {"missing image file": 1, "caption of an unknown image": 1}


def test_an_image_that_loses_its_only_caption_is_dropped_too(tmp_path: Path) -> None:
    after_a_good_entry("captions.jsonl", '{"image": "b.jpg", "caption": ""}')(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert [image.image_id for image in loaded.images] == ["a.jpg"]
    assert loaded.skipped_by_reason == {"empty caption": 1, "image without captions": 1}


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no captioned image in it \(it has no entries\); add some"):
        Collector(skip_bad=True).finish(tmp_path, "csv")


def test_nothing_left_is_an_error_with_each_reason_and_the_first_of_the_most_frequent(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    rows = ["a.jpg,...", "b.jpg,A dog", "c.jpg,A cat"]
    file = write(tmp_path / "captions.csv", "\n".join(["image,caption", *rows]))
    with pytest.raises(AnnotationError) as caught:
        load_annotations(tmp_path, skip_bad=True)
    counts = "2 x missing image file, 1 x empty caption, 1 x image without captions"
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: no captioned image in it ({counts}), first {file}: line 3: ")
    assert f"line 3: missing image file: 'b.jpg' is not in {tmp_path}; put it there" in message


@pytest.mark.parametrize(
    ("of_image", "of_caption"),
    [
        (42, "42"),
        ("42", 42),
        ("000042", 42),
        (42, "000042"),
        (42, 42.0),
        ("42", "42.0"),
        ("caf\u00e9", "cafe\u0301"),
    ],
)
def test_ids_that_are_the_same_number(tmp_path: Path, of_image: object, of_caption: object) -> None:
    touch(tmp_path / "images", "a.jpg")
    write(tmp_path / "captions.json", coco({of_image: "a.jpg"}, [(of_caption, "A dog")]))
    assert records(load_annotations(tmp_path)) == [(str(of_image), "train", ("A dog",))]


def test_ids_that_differ_in_zeros_stay_apart(folders: ImageFolders) -> None:
    collector = Collector(skip_bad=False)
    collector.add_image("7", "a.jpg", "train", folders)
    collector.add_image("07", "b.jpg", "train", folders)
    collector.add_caption("7", "A dog")
    collector.add_caption("07", "A cat")
    with pytest.raises(EntryError, match="caption of an unknown image: '007'"):
        collector.add_caption("007", "Which one?")


def test_another_spelling_of_a_name_is_the_same_image(folders: ImageFolders, tmp_path: Path) -> None:
    collector = Collector(skip_bad=False)
    for name in ("a.jpg", "./a.jpg", "a.JPG", "./a.jpg", str(tmp_path / "a.jpg")):
        collector.merge_image(name, "val", folders)
        collector.add_caption(name, f"as {name}")
    with pytest.raises(EntryError, match=r"two splits: '\./a\.jpg' is in val and test"):
        collector.merge_image("./a.jpg", "test", folders)
    (image,) = collector.finish(tmp_path, "csv").images
    assert (image.image_id, len(image.captions)) == ("a.jpg", 5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/x/cats/a.jpg", "/x/dogs/a.jpg"),
        ("C:\\cats\\a.jpg", "C:\\dogs\\a.jpg"),
        ("https://example.org/cats/a.jpg", "https://example.org/dogs/a.jpg"),
        ("/x/cats/a.jpg", "a.jpg"),
    ],
)
def test_files_of_other_folders_are_not_one_image(
    first: str, second: str, folders: ImageFolders, tmp_path: Path
) -> None:
    collector = Collector(skip_bad=True)
    for name in (first, second, first):
        with collector.entry(name):
            collector.merge_image(name, None, folders)
            collector.add_caption(name, f"as {name}")
    loaded = collector.finish(tmp_path, "csv")
    assert [image.captions for image in loaded.images] == [(f"as {first}", f"as {first}")]
    assert [item.reason for item in loaded.skipped] == ["duplicate image file"]


def test_a_dropped_image_has_no_other_spelling(folders: ImageFolders, tmp_path: Path) -> None:
    collector = Collector(skip_bad=True)
    for name in ("a.jpg", "gone.jpg", "./gone.jpg"):
        with collector.entry(name):
            collector.merge_image(name, None, folders)
            collector.add_caption(name, "A dog")
    assert [item.entry for item in collector.finish(tmp_path, "csv").skipped] == ["gone.jpg", "./gone.jpg"]


ENTRIES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["A dog", "", " . ", None, "\udcff"])), max_size=8
)


@given(ENTRIES)
def test_each_row_is_an_image_with_a_caption_or_is_counted(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None]]
) -> None:
    """Of the images a and b there is a file; a row is good where that is so and its caption has a word."""
    root = tmp_path_factory.getbasetemp() / "rows"
    touch(root, "a", "b")
    collector, folders = Collector(skip_bad=True), ImageFolders([root])
    for number, (name, caption) in enumerate(rows):
        with collector.entry(str(number)):
            collector.merge_image(name, None, folders)
            collector.add_caption(name, caption)
    good = [(name, caption) for name, caption in rows if name in "ab" and caption == "A dog"]
    if not good:
        with pytest.raises(AnnotationError, match="no captioned image"):
            collector.finish(root, "csv")
        return
    loaded = collector.finish(root, "csv")
    assert {image.image_id: len(image.captions) for image in loaded.images} == {
        name: len([1 for other, _ in good if other == name]) for name, _ in good
    }
    without_captions = {name for name, _ in rows if name in "ab"} - {name for name, _ in good}
    assert loaded.skipped_by_reason["image without captions"] == len(without_captions)
    assert loaded.skipped_by_reason["missing image file"] == len({name for name, _ in rows if name in "cd"})
