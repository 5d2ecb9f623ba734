"""COCO captions: the official layouts, files that are written like them, and entries that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.annotations import coco, load_annotations
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import Make, Record, check_bad_entry, records, touch, write
from tests.data.annotations.datasets import coco as content_of


@pytest.mark.parametrize("year", ["2014", "2017"])
@pytest.mark.parametrize("inside", ["", "images"])
def test_the_official_layouts(tmp_path: Path, year: str, inside: str) -> None:
    touch(tmp_path / inside / f"train{year}", "2.jpg", "1.jpg")
    touch(tmp_path / inside / f"val{year}", "3.jpg")
    train = content_of({2: "2.jpg", 1: "1.jpg"}, [(1, "a dog runs \n"), (2, "a cat"), (1, "one dog")])
    write(tmp_path / f"annotations/captions_train{year}.json", train)
    val = content_of({3: "3.jpg"}, [(3, "two birds")])
    write(tmp_path / f"annotations/captions_val{year}.json", val)
    loaded = load_annotations(tmp_path)
    assert loaded.format == "coco"
    assert records(loaded) == [
        ("2", "train", ("a cat",)),
        ("1", "train", ("a dog runs", "one dog")),
        ("3", "val", ("two birds",)),
    ]


def vizwiz(root: Path) -> None:
    touch(root / "train", "VizWiz_train_0.jpg")
    touch(root / "val", "VizWiz_val_0.jpg")
    write(root / "annotations/train.json", content_of({0: "VizWiz_train_0.jpg"}, [(0, "A dog .")]))
    write(root / "annotations/val.json", content_of({9: "VizWiz_val_0.jpg"}, [(9, "A cat .")]))
    write(root / "annotations/test.json", {"images": [{"id": 5, "file_name": "VizWiz_test_0.jpg"}]})


def nested(root: Path) -> None:
    touch(root / "train2017", "a.jpg")
    touch(root / "val2017", "b.jpg")
    folder = root / "annotations_trainval2017" / "annotations"
    write(folder / "captions_train2017.json", content_of({1: "a.jpg"}, [(1, "A dog .")]))
    write(folder / "captions_val2017.json", content_of({2: "b.jpg"}, [(2, "A cat .")]))


def renamed(root: Path) -> None:
    touch(root / "photos" / "all", "a.jpg", "b.jpg")
    write(root / "labels" / "my_train.json", content_of({1: "a.jpg"}, [(1, "A dog .")]))
    write(root / "labels" / "my_val.json", content_of({2: "b.jpg"}, [(2, "A cat .")]))
    write(root / "labels" / "instances_val.json", {"images": [], "annotations": [{"bbox": []}]})


def nocaps(root: Path) -> None:
    touch(root / "images", "0013ea2087020901.jpg")
    content = content_of({0: "0013ea2087020901.jpg"}, [(0, "A dog .")])
    write(root / "nocaps_val_4500_captions.json", content)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (vizwiz, [("0", "train", ("A dog .",)), ("9", "val", ("A cat .",))]),
        (nested, [("1", "train", ("A dog .",)), ("2", "val", ("A cat .",))]),
        (renamed, [("1", "train", ("A dog .",)), ("2", "val", ("A cat .",))]),
        (nocaps, [("0", "val", ("A dog .",))]),
    ],
)
def test_datasets_that_are_written_like_coco(tmp_path: Path, make: Make, expected: list[Record]) -> None:
    make(tmp_path)
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded), loaded.skipped) == ("coco", expected, [])


def test_the_source_of_a_caption_is_its_author(tmp_path: Path) -> None:
    touch(tmp_path / "train2017", "1.jpg", "2.jpg", "3.jpg")
    captions = [(1, "a"), (1, "b"), (2, "c"), (3, "d"), (1, "e")]
    content = content_of({1: "1.jpg", 2: "2.jpg", 3: "3.jpg"}, captions)
    for record, source in zip(content["annotations"], ["model", "person", "person", None, None], strict=True):
        if source:
            record["source"] = source
    file = tmp_path / "annotations/captions_train2017.json"
    write(file, content)
    first, second, third = load_annotations(tmp_path).images
    assert first.authors == ("model", "person", "person")
    assert (first.captions, first.references) == (("a", "b", "e"), ("b", "e"))
    assert second.authors == third.authors == ()  # people alone
    for wrong in ("robot", None, 5, ["model"]):
        content["annotations"][2]["source"] = wrong
        write(file, content)
        with pytest.raises(AnnotationError, match=r"annotations\[2\]: wrong fields: 'source' is"):
            load_annotations(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert loaded.skipped_by_reason == {"wrong fields": 1, "image without captions": 1}


def test_the_newest_year_whose_images_are_there_is_read(tmp_path: Path) -> None:
    for year in ("2014", "2017"):
        write(tmp_path / f"annotations/captions_train{year}.json", content_of({1: "a.jpg"}, [(1, year)]))
    touch(tmp_path / "train2014", "a.jpg")
    assert records(load_annotations(tmp_path)) == [("1", "train", ("2014",))]
    touch(tmp_path / "train2017", "a.jpg")
    assert records(load_annotations(tmp_path)) == [("1", "train", ("2017",))]


def test_one_file_with_a_folder_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "a.jpg")
    content = content_of({"x1": "a.jpg"}, [("x1", "a dog")])
    mine = write(tmp_path / "mine.json", content)
    official = write(tmp_path / "annotations/captions_val2017.json", content)
    photos = tmp_path / "photos"
    assert records(load_annotations(mine, images=photos)) == [("x1", "train", ("a dog",))]
    assert records(load_annotations(official, images=photos)) == [("x1", "val", ("a dog",))]


def test_several_files_need_names_of_splits(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for name in ("a.json", "b.json"):
        write(tmp_path / name, content_of({1: "a.jpg"}, [(1, "A dog")]))
    with pytest.raises(AnnotationError, match=r"whose names state no splits: a\.json, b\.json; name one"):
        load_annotations(tmp_path)
    assert len(load_annotations(tmp_path / "b.json").images) == 1


@pytest.mark.parametrize(
    ("name", "content", "matches"),
    [
        ("mine.json", {"annotations": [{"caption": "x"}]}, True),
        ("boxes.json", {"annotations": [{"bbox": []}]}, False),
        ("instances_val2017.json", {"annotations": []}, False),  # boxes, not captions
        ("tasks.json", [{"annotations": []}], False),  # a list, as Label Studio writes it
        ("mine.txt", {"annotations": []}, False),
        ("captions.json", [{"image": "a.jpg", "caption": "x"}], False),
    ],
)
def test_coco_is_recognised_by_the_content(tmp_path: Path, name: str, content: object, matches: bool) -> None:
    assert coco.matches_file(write(tmp_path / name, content)) is matches


# --- entries that cannot be used ----------------------------------------------------------------------------


def one_more(kind: str, *entries: object) -> Make:
    """A dataset of one good image and caption, and then entries of `images` or `annotations`."""

    def make(root: Path) -> None:
        touch(root / "train2017", "a.jpg", "b.jpg")
        content = content_of({1: "a.jpg"}, [(1, "A dog")])
        content[kind] += entries
        write(root / "annotations/captions_train2017.json", content)

    return make


BAD_IMAGES = {
    "no captions": ({"id": 2, "file_name": "b.jpg"}, "image without captions"),
    "id twice": ({"id": 1, "file_name": "b.jpg"}, "duplicate id"),
    "file twice": ({"id": 2, "file_name": "a.jpg"}, "duplicate image file"),
    "no name": ({"id": 2}, "wrong fields"),
    "a list as id": ({"id": [2], "file_name": "b.jpg"}, "wrong fields"),
    "text": ("b.jpg", "wrong fields"),
}


@pytest.mark.parametrize(("image", "reason"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images(tmp_path: Path, image: object, reason: str) -> None:
    one_more("images", image)(tmp_path)
    check_bad_entry(tmp_path, "captions_train2017.json: images[1]", reason)


BAD_CAPTIONS = {
    "of no image": ({"id": 9, "image_id": 5, "caption": "A cat"}, "caption of an unknown image"),
    "without a word": ({"image_id": 1, "caption": " "}, "empty caption"),
    "id twice": ({"id": 0, "image_id": 1, "caption": "A dog"}, "duplicate id"),
    "null": ({"image_id": 1, "caption": None}, "wrong fields"),
    "without text": ({"image_id": 1}, "wrong fields"),
    "half of a surrogate pair": ({"image_id": 1, "caption": "A \ud83d dog"}, "not UTF-8 text"),
}


@pytest.mark.parametrize(("caption", "reason"), BAD_CAPTIONS.values(), ids=BAD_CAPTIONS)
def test_bad_captions(tmp_path: Path, caption: object, reason: str) -> None:
    one_more("annotations", caption)(tmp_path)
    check_bad_entry(tmp_path, "captions_train2017.json: annotations[1]", reason)


def test_a_missing_image_takes_its_captions_with_it(tmp_path: Path) -> None:
    one_more("images", {"id": 2, "file_name": "gone.jpg"})(tmp_path)
    file = tmp_path / "annotations/captions_train2017.json"
    content = content_of({1: "a.jpg", 2: "gone.jpg"}, [(1, "A dog"), (2, "x"), (2, "y")])
    write(file, content)
    check_bad_entry(tmp_path, "captions_train2017.json: images[1]", "missing image file")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"annotations": []}, "no list 'images' at the top"),
        ({"annotations": [], "images": {}}, "no list 'images' at the top"),
        ({"annotations": [], "images": []}, "no captioned image"),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_file_without_images_is_refused(
    tmp_path: Path, content: object, match: str, skip_bad: bool
) -> None:
    file = write(tmp_path / "captions.json", content)
    with pytest.raises(AnnotationError, match=match) as caught:
        load_annotations(file, skip_bad=skip_bad)
    assert str(caught.value).startswith(f"{file}: ")


# --- the data beside the repository -------------------------------------------------------------------------


def test_coco_itself(shared_data: Path) -> None:
    loaded = load_annotations(shared_data / "coco-mini")
    assert loaded.format == "coco"
    assert [image.split for image in loaded.images] == ["train"] * 80 + ["val"] * 79
    first = next(image for image in loaded.images if image.image_id == "125870")
    assert first.captions[0] == "An airport filled with large passenger jets parked next to each other."
