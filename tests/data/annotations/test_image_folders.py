"""Datasets as people have them: of tutorials, from Kaggle and Hugging Face, written on other systems."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.config import DataConfig
from showtell.data.annotations import load_annotations
from showtell.data.annotations.listing import split_in_name
from showtell.data.annotations.names import number_alike
from showtell.data.prepare import load_images
from showtell.errors import AnnotationError
from tests.data.test_annotations import coco, karpathy_image, records, touch, write

Make = Callable[[Path], object]

TOKENS = "a.jpg#0\tA dog .\nb.jpg#0\tA cat .\n"
KAGGLE = "image_name| comment_number| comment\na.jpg| 0| A dog | wet .\nb.jpg| 0   A cat , small .\n"


def flickr8k(text: str, images: str, *, lists: str = "Flickr_8k") -> Make:
    def make(root: Path) -> None:
        touch(root / images, "a.jpg", "b.jpg")
        write(root / text / "Flickr8k.token.txt", TOKENS)
        write(root / text / f"{lists}.trainImages.txt", "a.jpg\n")
        write(root / text / f"{lists}.devImages.txt", "b.jpg\n")

    return make


def flickr30k(table: str, images: str) -> Make:
    def make(root: Path) -> None:
        touch(root / images, "a.jpg", "b.jpg")
        write(root / table, KAGGLE)

    return make


def metadata(name: str, split: bool) -> Make:
    def make(root: Path) -> None:
        parts = {"train": "a.jpg", "validation": "b.jpg"} if split else {"": "a.jpg"}
        for inside, image in parts.items():
            touch(root / inside, image)
            row = {"file_name": image, "text": "A dog ."}
            content = (
                f"file_name,text\n{image},A dog .\n"
                if name.endswith("csv")
                else "".join(f'{{"file_name": "{r["file_name"]}", "text": "{r["text"]}"}}\n' for r in [row])
            )
            write(root / inside / name, content)

    return make


def vizwiz(root: Path) -> None:
    touch(root / "train", "VizWiz_train_0.jpg")
    touch(root / "val", "VizWiz_val_0.jpg")
    write(root / "annotations/train.json", coco({0: "VizWiz_train_0.jpg"}, [(0, "A dog .")]))
    write(root / "annotations/val.json", coco({9: "VizWiz_val_0.jpg"}, [(9, "A cat .")]))
    write(root / "annotations/test.json", {"images": [{"id": 5, "file_name": "VizWiz_test_0.jpg"}]})


def nested_coco(root: Path) -> None:
    touch(root / "train2017", "a.jpg")
    touch(root / "val2017", "b.jpg")
    folder = root / "annotations_trainval2017" / "annotations"
    write(folder / "captions_train2017.json", coco({1: "a.jpg"}, [(1, "A dog .")]))
    write(folder / "captions_val2017.json", coco({2: "b.jpg"}, [(2, "A cat .")]))


def renamed_coco(root: Path) -> None:
    touch(root / "photos" / "all", "a.jpg", "b.jpg")
    write(root / "labels" / "my_train.json", coco({1: "a.jpg"}, [(1, "A dog .")]))
    write(root / "labels" / "my_val.json", coco({2: "b.jpg"}, [(2, "A cat .")]))
    write(root / "labels" / "instances_val.json", {"images": [], "annotations": [{"bbox": []}]})


def nocaps(root: Path) -> None:
    touch(root / "images", "0013ea2087020901.jpg")
    content = coco({0: "0013ea2087020901.jpg"}, [(0, "A dog .")])
    write(root / "nocaps_val_4500_captions.json", content)


def textcaps(root: Path) -> None:
    touch(root / "train_images", "a1.jpg")
    touch(root / "test_images", "b1.jpg")
    for split, name in (("train", "a1"), ("val", "b1")):
        item = {"image_id": name, "caption_str": "A dog .", "reference_strs": ["A dog ."], "set_name": split}
        write(root / f"TextCaps_0.1_{split}.json", {"dataset_name": "textcaps", "data": [item]})


def paragraphs(root: Path) -> None:
    touch(root / "VG_100K", "1.jpg")
    touch(root / "VG_100K_2", "2.jpg")
    items = [{"image_id": n, "url": "https://x/y.jpg", "paragraph": "A dog ."} for n in (1, 2)]
    write(root / "paragraphs_v1.json", items)


def mapping(root: Path) -> None:
    touch(root / "images", "a.jpg")
    write(root / "captions.json", {"a.jpg": ["A dog .", "One dog ."]})


def karpathys_three(root: Path) -> None:
    touch(root / "Flicker8k_Dataset", "a.jpg")
    for name, image in (("coco", "x.jpg"), ("flickr30k", "y.jpg"), ("flickr8k", "a.jpg")):
        write(root / f"dataset_{name}.json", {"images": [karpathy_image(image, "test", "A dog .")]})


TWO = [("a.jpg", "train", ("A dog .",)), ("b.jpg", "val", ("A cat .",))]
LAYOUTS: dict[str, tuple[Make, str, list[tuple[str, str, tuple[str, ...]]]]] = {
    "Flickr8k in two folders": (flickr8k("Flickr8k_text", "Flicker8k_Dataset"), "flickr8k", TWO),
    "Flickr8k's archive in a folder of its name": (
        flickr8k("text", "Flickr8k_Dataset/Flicker8k_Dataset"),
        "flickr8k",
        TWO,
    ),
    "Flickr8k with other lists": (flickr8k("", "all_photos", lists="Flickr8k"), "flickr8k", TWO),
    "Flickr30k of Kaggle": (
        flickr30k("results.csv", "flickr30k_images"),
        "flickr8k",
        [("a.jpg", "train", ("A dog | wet .",)), ("b.jpg", "train", ("A cat , small .",))],
    ),
    "Flickr30k of Kaggle in a folder of its name": (
        flickr30k("flickr30k_images/results.csv", "flickr30k_images/flickr30k_images"),
        "flickr8k",
        [("a.jpg", "train", ("A dog | wet .",)), ("b.jpg", "train", ("A cat , small .",))],
    ),
    "metadata.jsonl": (metadata("metadata.jsonl", False), "jsonl", [("a.jpg", "train", ("A dog .",))]),
    "metadata.csv": (metadata("metadata.csv", False), "csv", [("a.jpg", "train", ("A dog .",))]),
    "metadata.jsonl by split": (
        metadata("metadata.jsonl", True),
        "jsonl",
        [("train/a.jpg", "train", ("A dog .",)), ("validation/b.jpg", "val", ("A dog .",))],
    ),
    "metadata.csv by split": (
        metadata("metadata.csv", True),
        "csv",
        [("train/a.jpg", "train", ("A dog .",)), ("validation/b.jpg", "val", ("A dog .",))],
    ),
    "VizWiz": (vizwiz, "coco", [("0", "train", ("A dog .",)), ("9", "val", ("A cat .",))]),
    "COCO nested": (nested_coco, "coco", [("1", "train", ("A dog .",)), ("2", "val", ("A cat .",))]),
    "COCO renamed": (renamed_coco, "coco", [("1", "train", ("A dog .",)), ("2", "val", ("A cat .",))]),
    "nocaps": (nocaps, "coco", [("0", "val", ("A dog .",))]),
    "TextCaps": (textcaps, "jsonl", [("a1", "train", ("A dog .",)), ("b1", "val", ("A dog .",))]),
    "Visual Genome's paragraphs": (
        paragraphs,
        "jsonl",
        [("1", "train", ("A dog .",)), ("2", "train", ("A dog .",))],
    ),
    "an object of names": (mapping, "jsonl", [("a.jpg", "train", ("A dog .", "One dog ."))]),
    "Karpathy's three files": (karpathys_three, "karpathy", [("a.jpg", "test", ("A dog .",))]),
}


@pytest.mark.parametrize(("make", "kind", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_that_people_have(tmp_path: Path, make: Make, kind: str, expected: list[object]) -> None:
    make(tmp_path)
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded), loaded.skipped) == (kind, expected, [])


def test_the_text_folder_of_flickr8k_finds_its_images(tmp_path: Path) -> None:
    flickr8k("Flickr8k_text", "Flicker8k_Dataset")(tmp_path)
    assert records(load_annotations(tmp_path / "Flickr8k_text")) == TWO
    assert records(load_annotations(tmp_path / "Flickr8k_text" / "Flickr8k.token.txt")) == TWO


@pytest.mark.parametrize("image", ["image", "file_name", "filename", "image_name", "path", "image_id"])
@pytest.mark.parametrize("caption", ["caption", "text", "comment", "sentence", "description"])
@pytest.mark.parametrize("mark", [",", "\t", ";", " | "])
def test_columns_of_usual_names(tmp_path: Path, image: str, caption: str, mark: str) -> None:
    touch(tmp_path / "photos", "a.jpg")
    write(tmp_path / "mine.csv", f"n{mark}{image}{mark}{caption}\n1{mark}a.jpg{mark}A dog\n")
    assert records(load_annotations(tmp_path)) == [("a.jpg", "train", ("A dog",))]


# --- what is nearly a dataset is named, with what to do -----------------------------------------------------


def write_all(**files: object) -> Make:
    def make(root: Path) -> None:
        touch(root, "a.jpg")
        for name, content in files.items():
            write(root / name.replace("__", "."), content)

    return make


REGIONS = [{"id": 1, "regions": [{"image_id": 1, "phrase": "a dog"}]}]
NEARLY: list[tuple[Make, str]] = [
    (
        write_all(data__csv="photo,label\na.jpg,dog\n"),
        r"data\.csv has the columns photo,label: name its fields",
    ),
    (
        write_all(data__jsonl='{"photo": "a.jpg", "label": "dog"}\n'),
        r"data\.jsonl has the fields photo, label: name its fields image and caption",
    ),
    (
        write_all(one__csv="image,caption\na.jpg,x\n", two__csv="image,caption\na.jpg,x\n"),
        r"several files have captions: one\.csv, two\.csv; name one with --data\.root",
    ),
    (write_all(), r"1 images, and no file of captions: write captions\.csv"),
    (write_all(region_descriptions__json=REGIONS), r"region_descriptions\.json"),
    (
        write_all(a__json=coco({1: "a.jpg"}, [(1, "A dog")]), b__json=coco({1: "a.jpg"}, [(1, "A dog")])),
        r"several COCO files, whose names tell no splits: a\.json, b\.json; name one",
    ),
    (
        write_all(
            dataset_coco__json={"images": [karpathy_image("a.jpg", "val", "x")]},
            dataset_flickr8k__json={"images": [karpathy_image("a.jpg", "val", "x")]},
        ),
        r"several files of Karpathy's: dataset_coco\.json, dataset_flickr8k\.json; name one",
    ),
]


@pytest.mark.parametrize(("make", "message"), NEARLY)
def test_what_is_nearly_a_dataset_is_named(tmp_path: Path, make: Make, message: str) -> None:
    make(tmp_path)
    with pytest.raises(AnnotationError, match=message) as caught:
        load_annotations(tmp_path)
    assert "\n" not in str(caught.value)


def test_regions_of_visual_genome_are_no_captions_of_images(tmp_path: Path) -> None:
    file = write(tmp_path / "region_descriptions.json", REGIONS)
    with pytest.raises(AnnotationError, match="Visual Genome's regions: their phrases describe parts"):
        load_annotations(file)


def test_what_was_read_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nested_coco(tmp_path)
    write(tmp_path / "dataset_coco.json", {"images": [karpathy_image("a.jpg", "test", "A dog")]})
    with caplog.at_level(logging.INFO, "showtell"):
        load_images(DataConfig(root=str(tmp_path), test_fraction=0), tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"Read {tmp_path}: annotations_trainval2017/annotations/captions_train2017.json,"
        " annotations_trainval2017/annotations/captions_val2017.json, format coco; 2 images with 2 captions"
        " (1 train, 1 val); not read: dataset_coco.json (name the file with --data.root to read it instead)"
    ]


# --- names that look the same to a person -------------------------------------------------------------------

SAME_NAMES = {
    "composed": ("caf\u00e9.jpg", "cafe\u0301.jpg"),
    "decomposed": ("cafe\u0301.jpg", "caf\u00e9.jpg"),
    "in a folder": ("\u00e9t\u00e9/a.jpg", "e\u0301te\u0301/a.jpg"),
    "of Windows": ("images\\a.jpg", "images/a.jpg"),
    "of Windows, nested": (".\\b\\c\\a.jpg", "b/c/a.jpg"),
    "of another machine": ("C:\\Users\\me\\set\\b\\a.jpg", "b/a.jpg"),
    "of a notebook": ("/kaggle/input/set/Images/a.jpg", "Images/a.jpg"),
    "ending in capitals": ("a.jpg", "a.JPG"),
    "ending in small letters": ("a.JPEG", "a.jpeg"),
    "without ending": ("a.b", "a.b.png"),
    "with a dot before": ("./a.jpg", "a.jpg"),
}


@pytest.mark.parametrize(("written", "name"), SAME_NAMES.values(), ids=SAME_NAMES)
def test_a_name_that_looks_the_same_is_found(tmp_path: Path, written: str, name: str) -> None:
    touch(tmp_path, name)
    write(tmp_path / "captions.csv", f"image,caption\n{written},A dog\n")
    assert [image.path for image in load_annotations(tmp_path).images] == [tmp_path / name]


@given(st.text(st.characters(categories=["L", "M"], max_codepoint=0x1FFF), min_size=1, max_size=6))
def test_any_normal_form_finds_the_file(tmp_path_factory: pytest.TempPathFactory, stem: str) -> None:
    folder = tmp_path_factory.mktemp("forms")
    for there, written in (("NFC", "NFD"), ("NFD", "NFC")):
        name = unicodedata.normalize(there, stem)  # type: ignore[arg-type]
        touch(folder / there, f"{name}.jpg")
        line = f'{{"image": "{unicodedata.normalize(written, stem)}.jpg", "caption": "x"}}\n'  # type: ignore[arg-type]
        write(folder / there / "captions.jsonl", line)
        assert load_annotations(folder / there).images[0].path.name == f"{name}.jpg"


def test_two_files_that_look_the_same_are_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPG", "a.Jpg")
    write(tmp_path / "captions.csv", "image,caption\na.jpg,A dog\n")
    with pytest.raises(AnnotationError, match=r"missing image file: 'a\.jpg'"):
        load_annotations(tmp_path)
    touch(tmp_path, "a.jpg")
    assert load_annotations(tmp_path).images[0].path == tmp_path / "a.jpg"


def test_an_image_in_several_folders_is_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path / "cats", "1.jpg")
    touch(tmp_path / "dogs", "1.jpg", "2.jpg")
    write(tmp_path / "captions.csv", "image,caption\n2.jpg,A dog\n1.jpg,A dog\n")
    with pytest.raises(AnnotationError, match=r"several image files: '1\.jpg' is in .*cats and .*dogs; name"):
        load_annotations(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert loaded.skipped_by_reason == {"several image files": 1}
    assert loaded.images[0].path == tmp_path / "dogs" / "2.jpg"


@pytest.mark.parametrize("name", ["a.jpg.txt", "a.txt", "a.JPG.txt", "a.jpg.TXT"])
def test_text_files_beside_the_images(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / name, "A dog\n")
    assert records(load_annotations(tmp_path)) == [("a.jpg", "train", ("A dog",))]


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


def test_ids_that_differ_in_zeros_stay_apart(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.jpg", "b.jpg")
    content = coco({"7": "a.jpg", "07": "b.jpg"}, [("7", "A dog"), ("07", "A cat")])
    file = write(tmp_path / "captions.json", content)
    assert [image[2] for image in records(load_annotations(tmp_path))] == [("A dog",), ("A cat",)]
    content["annotations"][1]["image_id"] = "007"
    write(file, content)
    with pytest.raises(AnnotationError, match="caption of an unknown image: '007'"):
        load_annotations(tmp_path)


@given(st.integers(0, 10**15), st.integers(0, 6))
def test_numbers_are_alike_however_written(number: int, zeros: int) -> None:
    assert number_alike("0" * zeros + str(number)) == number_alike(f"{number}.0") == str(number)


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


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.jpg")
    write(tmp_path / "set" / "captions.csv", "image,caption\na.jpg,A dog\n")
    (tmp_path / "set" / "photos").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "set" / "again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set", target_is_directory=True)
    assert load_annotations(tmp_path / "set").images[0].path.name == "a.jpg"
