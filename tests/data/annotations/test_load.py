"""The one entry point: which format is read, what is not there, and where datasets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from showtell.config import DatasetFormat
from showtell.data.annotations import find_dataset_root, load_annotations
from showtell.errors import AnnotationError, UsageError
from tests.data.annotations.datasets import coco, karpathy_image, touch, write

COCO = coco({1: "a.jpg"}, [(1, "A dog")])
KARPATHY = {"images": [karpathy_image("a.jpg", "train", "A dog")]}
BY_RANK: list[tuple[str, str, object]] = [
    # format, file, content: the surest first
    ("coco", "annotations/captions_train2017.json", COCO),
    ("karpathy", "dataset_coco.json", KARPATHY),
    ("flickr8k", "Flickr8k.token.txt", "a.jpg#0\tA dog\n"),
    ("csv", "captions.csv", "image,caption\na.jpg,A dog\n"),
    ("jsonl", "captions.jsonl", '{"image": "a.jpg", "caption": "A dog"}\n'),
    ("folder", "a.txt", "A dog\n"),
]


@pytest.mark.parametrize("first", range(len(BY_RANK)))
def test_the_surest_format_is_read(tmp_path: Path, first: int) -> None:
    """Files of this format and of all less sure ones are there."""
    touch(tmp_path, "a.jpg")
    for _, name, content in BY_RANK[first:]:
        write(tmp_path / name, content)
    loaded = load_annotations(tmp_path)
    assert (loaded.format, loaded.images[0].captions) == (BY_RANK[first][0], ("A dog",))
    for format_, name, _ in BY_RANK[first:-1]:
        chosen = load_annotations(tmp_path, format=format_)
        assert (chosen.format, chosen.files) == (format_, (tmp_path / name,))


def test_other_annotation_files_are_named_as_alternatives(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for _, name, content in BY_RANK[:-1]:
        write(tmp_path / name, content)
    others = load_annotations(tmp_path).alternatives
    assert {path.name for path in others} == {
        "dataset_coco.json",
        "Flickr8k.token.txt",
        "captions.csv",
        "captions.jsonl",
    }
    write(tmp_path / "a.jpg.txt", "A dog")
    assert tmp_path / "a.jpg.txt" in load_annotations(tmp_path).alternatives
    assert load_annotations(tmp_path, format="csv").alternatives == ()
    assert load_annotations(tmp_path / "captions.csv").alternatives == ()


def test_captions_can_be_read_without_the_images(tmp_path: Path) -> None:
    file = write(tmp_path / "captions.csv", "image,caption\ngone.jpg,A dog\n")
    with pytest.raises(AnnotationError, match="missing image file"):
        load_annotations(file)
    (image,) = load_annotations(file, need_files=False).images
    assert (image.path, image.captions) == (tmp_path / "gone.jpg", ("A dog",))


def test_addresses_of_photos_are_named_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "captions.csv", "image,caption\nhttps://x.org/b/a.jpg,A dog\n")
    with pytest.raises(
        AnnotationError, match=r"'https://x\.org/b/a\.jpg' is not .* does not download; put it"
    ):
        load_annotations(file)
    (image,) = load_annotations(file, need_files=False).images
    assert image.path == tmp_path / "x.org" / "b" / "a.jpg"
    touch(tmp_path, "a.jpg")
    assert load_annotations(file).images[0].path == tmp_path / "a.jpg"


@pytest.mark.parametrize("format_", ["coco", "karpathy", "flickr8k", "csv", "label-studio", "jsonl"])
def test_a_format_whose_files_are_not_there(tmp_path: Path, format_: DatasetFormat) -> None:
    with pytest.raises(AnnotationError, match=r"in it; "):
        load_annotations(tmp_path, format=format_)


def test_no_format_or_no_place_at_all(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(AnnotationError, match="no captions of a known format in it"):
        load_annotations(tmp_path)
    with pytest.raises(UsageError, match=r"no such file or folder; correct the path"):
        load_annotations(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no such folder; correct --data\.images"):
        load_annotations(tmp_path, images=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="'scenes' is generated"):
        load_annotations(tmp_path, format="scenes")


def test_datasets_are_looked_for_in_the_search_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one/birds", "two/birds", "two/cats", "home/data/dogs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.delenv("SHOWTELL_DATA", raising=False)
    assert find_dataset_root("dogs") == Path("data/dogs")
    assert find_dataset_root(str(tmp_path / "one")) == tmp_path / "one"
    assert find_dataset_root("cats", [tmp_path / "two"]) == tmp_path / "two" / "cats"
    monkeypatch.setenv("SHOWTELL_DATA", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert find_dataset_root("birds") == tmp_path / "one" / "birds"
    assert find_dataset_root("cats") == tmp_path / "two" / "cats"
    assert find_dataset_root("dogs") == Path("data/dogs")
    with pytest.raises(UsageError) as caught:
        find_dataset_root("mice")
    looked = ", ".join(map(str, ["mice", tmp_path / "one" / "mice", tmp_path / "two" / "mice", "data/mice"]))
    fix = "name the folder of your data (--data FOLDER), download a public dataset (showtell data get NAME)"
    assert str(caught.value).startswith(
        f"no dataset 'mice' (looked for {looked}); {fix}, or set SHOWTELL_DATA"
    )
    with pytest.raises(UsageError, match="no dataset"):
        find_dataset_root(str(tmp_path / "three"))
    (tmp_path / "shared/data/mice").mkdir(parents=True)
    assert find_dataset_root("mice") == Path("../shared/data/mice")


def test_places_may_be_text(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "a.jpg")
    file = write(tmp_path / "captions.csv", "image,caption\na.jpg,A dog\n")
    loaded = load_annotations(str(file), images=str(tmp_path / "photos"))
    assert loaded.images == load_annotations(file, images=tmp_path / "photos").images
    assert loaded.files == (file,)
    assert find_dataset_root(file) == find_dataset_root(str(file)) == file


@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser/x", f"birds/{'x' * 300}.json"])
def test_a_name_that_no_file_can_have_is_no_dataset(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOWTELL_DATA", os.pathsep.join([str(tmp_path), "~nosuchuser/y"]))
    with pytest.raises(UsageError, match="no dataset"):
        find_dataset_root(name)
    with pytest.raises(UsageError, match="no such file or folder"):
        load_annotations(tmp_path / name)
    with pytest.raises(UsageError, match="no such folder"):
        load_annotations(tmp_path, images=tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_info.json", {"features": {"image": {}}, "splits": {"train": {"num_examples": 1}}}),
        ("dataset_infos.json", {"default": {"description": "", "features": {}}}),
        ("_annotations.coco.json", {"images": [], "annotations": [{"id": 1, "bbox": [0, 0, 1, 1]}]}),
        ("package.json", {"keywords": ["annotations"]}),
        ("inside/labels.json", {"annotations": {"a.jpg": 3}}),
    ],
)
def test_json_of_other_programs_hides_no_captions(tmp_path: Path, name: str, content: object) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "captions.csv", "image,caption\na.jpg,A dog\n")
    write(tmp_path / name, content)
    loaded = load_annotations(tmp_path)
    assert (loaded.format, len(loaded.images)) == ("csv", 1)
