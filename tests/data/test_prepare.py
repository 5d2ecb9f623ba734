"""From settings to images and a vocabulary: several datasets, and captions that a model wrote."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from showtell.config import DataConfig
from showtell.data.prepare import WITHOUT_PEOPLE, by_people, load_images, named_datasets, prepare_data
from showtell.data.records import CaptionedImage
from showtell.data.splits import by_split
from showtell.errors import DataError, UsageError

Caption = tuple[str, str]
"""Its text, and who wrote it."""


def write_coco(root: Path, splits: dict[str, dict[int, list[Caption]]]) -> Path:
    """A dataset in COCO's layout, its images empty files."""
    (root / "annotations").mkdir(parents=True)
    for split, images in splits.items():
        (root / split).mkdir()
        for key in images:
            (root / split / f"{key}.jpg").touch()
        annotations = [
            {"image_id": key, "caption": text, **({"source": who} if who else {})}
            for key, captions in images.items()
            for text, who in captions
        ]
        content = {
            "images": [{"id": key, "file_name": f"{key}.jpg"} for key in images],
            "annotations": annotations,
        }
        (root / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    return root


def write_csv(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A dataset as a table of image, caption, split."""
    root.mkdir(parents=True)
    for name, _, _ in rows:
        (root / name).touch()
    lines = ["image,caption,split", *(",".join(row) for row in rows)]
    (root / "captions.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    train: dict[int, list[Caption]] = {
        n: [("a dog runs", "person"), ("a hound dashes", "model")] for n in range(4)
    }
    train[4] = [("a puma naps", "model")]
    val: dict[int, list[Caption]] = {10: [("a dog", "")], 11: [("a cat", "person"), ("a feline", "model")]}
    val[12] = [("a bird", "model")]
    return write_coco(tmp_path / "coco", {"train2017": train, "val2017": val})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [(f"{n}.jpg", "a red boat", "train") for n in range(3)] + [("9.jpg", "a blue boat", "val")]
    return write_csv(tmp_path / "boats", rows)


def config_of(*roots: object, **settings: object) -> DataConfig:
    return DataConfig(root=list(roots), min_count=1, **{"test_fraction": 0.0, **settings})  # type: ignore[arg-type]


def test_several_datasets_are_one(coco: Path, table: Path, tmp_path: Path) -> None:
    name, images, skipped = load_images(config_of(str(coco), {"root": str(table), "weight": 2.5}), tmp_path)
    assert name == "coco+boats"
    assert skipped == Counter()
    assert len({image.image_id for image in images}) == len(images) == 12
    assert Counter((i.dataset, i.split, i.weight) for i in images) == {
        ("coco", "train", 1.0): 5,
        ("coco", "val", 1.0): 3,
        ("boats", "train", 2.5): 3,
        ("boats", "val", 2.5): 1,
    }
    alone = load_images(DataConfig(root=str(table), test_fraction=0.0), tmp_path)[1]
    ours = [image for image in images if image.dataset == "boats"]
    assert [i.image_id for i in ours] == [f"boats/{i.image_id}" for i in alone]
    assert [(i.path, i.captions, i.split) for i in ours] == [(i.path, i.captions, i.split) for i in alone]


def test_a_list_of_one_is_that_dataset(table: Path, tmp_path: Path) -> None:
    name, alone, _ = load_images(DataConfig(root=str(table)), tmp_path)
    listed = load_images(config_of({"root": str(table), "weight": 3}, test_fraction=0.1), tmp_path)
    assert listed[0] == name == "boats"
    assert listed[1] == [replace(image, weight=3.0) for image in alone]


def test_each_dataset_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / place for place in ("x/a", "y/a", "z/a-2", "w/a")]
    for folder in folders:
        write_csv(folder, [("0.jpg", "a dog", "train"), ("1.jpg", "a dog", "val")])
    config = config_of(*map(str, folders))
    assert list(named_datasets(config)) == ["a", "a-2", "a-2-2", "a-3"]
    assert [dataset.root for dataset in named_datasets(config).values()] == list(map(str, folders))
    assert len({image.image_id for image in load_images(config, tmp_path)[1]}) == 8
    monkeypatch.chdir(folders[0])
    assert list(named_datasets(config_of(".", "../../y/a"))) == ["a", "a-2"]


def test_splits_are_those_of_the_dataset_alone(tmp_path: Path) -> None:
    """Another dataset beside it moves no image into another split."""
    for name in "ab":
        write_csv(tmp_path / name, [(f"{n}.jpg", "a dog", "") for n in range(30)])
    together = load_images(config_of(str(tmp_path / "a"), str(tmp_path / "b"), val_fraction=0.3), tmp_path)[1]
    alone = load_images(config_of(str(tmp_path / "b"), val_fraction=0.3), tmp_path)[1]
    assert [i.split for i in together if i.dataset == "b"] == [i.split for i in alone]
    assert len(by_split(alone, "val")) == 9


def test_a_dataset_that_is_nowhere_is_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dataset 'no/such'"):
        load_images(config_of(str(table), "no/such"), tmp_path)


def test_a_dataset_without_validation_images_is_named(coco: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "boats", [("0.jpg", "a red boat", "train"), ("1.jpg", "a boat", "train")])
    with pytest.raises(DataError, match=r"^boats: no image to validate on; set data\.val_fraction"):
        prepare_data(config_of(str(coco), str(tmp_path / "boats"), val_fraction=0.0), tmp_path)
    write_coco(tmp_path / "robots", {"train2017": {1: [("a", "person")]}, "val2017": {2: [("b", "model")]}})
    with pytest.raises(DataError, match=r"^robots: no image to validate on"):
        prepare_data(config_of(str(coco), str(tmp_path / "robots")), tmp_path)


def test_validation_compares_with_what_people_wrote(coco: Path, tmp_path: Path) -> None:
    data = prepare_data(config_of(str(coco)), tmp_path)
    assert [image.captions for image in data.val] == [("a dog",), ("a cat",)]
    assert data.skipped == {WITHOUT_PEOPLE: 1}
    assert {"puma", "hound"} <= set(data.vocabulary.words)
    every = prepare_data(config_of(str(coco), references="all"), tmp_path)
    assert [image.captions for image in every.val] == [("a dog",), ("a cat", "a feline"), ("a bird",)]
    assert every.skipped == Counter()


def test_captions_of_weight_0_are_left_out(coco: Path, tmp_path: Path) -> None:
    data = prepare_data(config_of(str(coco), model_captions=0), tmp_path)
    assert [image.captions for image in data.train] == [("a dog runs",)] * 4
    assert data.skipped == {WITHOUT_PEOPLE: 2}  # one to train on, one to validate on
    assert not {"puma", "hound"} & set(data.vocabulary.words)


def test_the_tuning_subset_is_of_each_dataset(coco: Path, table: Path, tmp_path: Path) -> None:
    both = config_of(str(coco), str(table))
    data = prepare_data(replace(both, tuning=True, tuning_fraction=0.5), tmp_path)
    assert 0 < len(data.train) < 8
    assert len(data.val) == 3


def test_the_files_that_were_read_and_those_that_were_not_are_logged(
    coco: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (coco / "dataset_coco.json").write_text("{}")
    with caplog.at_level(logging.INFO, "showtell"):
        load_images(DataConfig(root=str(coco), test_fraction=0), coco)
    assert [record.getMessage() for record in caplog.records] == [
        f"Read {coco}: annotations/captions_train2017.json, annotations/captions_val2017.json, format coco;"
        " 8 images with 13 captions (5 train, 3 val); not read: dataset_coco.json (name the file with"
        " --data.root to read it instead)"
    ]


def test_captions_by_people_are_kept() -> None:
    image = CaptionedImage(Path("a.jpg"), ("one", "two", "three"), "val", "1")
    assert by_people(image) is image
    mixed = replace(image, authors=("model", "person", "model"))
    assert by_people(mixed) == replace(image, captions=("two",))
    assert by_people(replace(image, authors=("model",) * 3)).captions == ()


@pytest.mark.parametrize("segmentation", ["spaces", "characters"])
def test_captions_without_spaces_are_told_the_option(
    segmentation: Literal["spaces", "characters"], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.jpg").touch()
    text = "\u4e00\u4e2a\u7537\u4eba\u5728\u53a8\u623f\u91cc\u505a\u996d"
    (tmp_path / "captions.csv").write_text(f"image,caption\na.jpg,{text}\n", encoding="utf-8")
    load_images(DataConfig(root=str(tmp_path), segmentation=segmentation), tmp_path, cut_splits=False)
    warned = "(--data.segmentation characters; evaluate --segmentation characters)" in caplog.text
    assert warned == (segmentation == "spaces")
