"""The size of a dataset in the log, and warnings where it is small."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

from showtell.config import DataConfig, RunConfig
from showtell.data.prepare import PreparedData
from showtell.data.records import CaptionedImage, Split
from showtell.data.summary import log_summary, warn_of_few_images
from showtell.data.vocabulary import Vocabulary


def prepared(train: int, words: int = 200, **more: CaptionedImage) -> PreparedData:
    images = [CaptionedImage(Path(f"{n}.jpg"), ("a dog",), "train", str(n)) for n in range(train)]
    vocabulary = Vocabulary([f"word{n}" for n in range(words)])
    return PreparedData("mine", [*images, *more.values()], vocabulary, 3, Counter())


def image(split: Split, dataset: str) -> CaptionedImage:
    return CaptionedImage(Path(f"{split}-{dataset}.jpg"), ("a dog",), split, split, dataset=dataset)


def test_the_size_of_a_dataset_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "showtell")
    log_summary(prepared(1_200, one=image("val", "")))
    size = len(Vocabulary([f"word{n}" for n in range(200)]))
    assert caplog.messages == [f"mine: 1,200 train, 1 val, 0 test images; a vocabulary of {size} words"]


def test_of_several_datasets_each_is_logged_and_what_was_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "showtell")
    images = [image("train", "coco"), image("train", "boats"), image("val", "boats"), image("test", "coco")]
    dropped = Counter({"missing image file": 2})
    log_summary(PreparedData("coco+boats", images, Vocabulary(["dog"]), 1, dropped))
    assert caplog.messages[1:] == [
        "  coco: 1 train, 0 val, 1 test images",
        "  boats: 1 train, 1 val, 0 test images",
        "dropped 2: missing image file",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "INFO", "WARNING"]


MINE = DataConfig(root="mine", min_count=3)


@pytest.mark.parametrize(
    ("init", "photos", "words", "expected"),
    [
        ("none", 999, 200, ["only 999 training photos: expect captions that do not match"]),
        ("none", 1_000, 200, []),
        ("none", 1_000, 99, ["the vocabulary has only 99 words"]),
        ("none", 9, 9, ["only 9 training photos", "data.min_count (3 here)"]),
        ("flickr8k", 49, 9, ["only 49 training photos: expect captions like those of flickr8k"]),
        ("flickr8k", 50, 9, []),
    ],
)
def test_warnings_of_few(
    init: str, photos: int, words: int, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_few_images(prepared(photos, words), RunConfig(init=init, data=MINE))
    assert len(caplog.messages) == len(expected)
    for message, part in zip(caplog.messages, expected, strict=True):
        assert part in message
        assert ("language (--init everyday: English)" in message) == (init == "none")


@pytest.mark.parametrize("data", [DataConfig(), DataConfig(root="x", format="scenes")])
def test_drawn_scenes_need_little_of_both(data: DataConfig, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_few_images(prepared(5, 5), RunConfig(init="none", data=data))
    assert caplog.messages == []
