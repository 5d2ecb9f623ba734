"""Splits: of the asked size, the same on every machine and in every order of the files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.records import CaptionedImage, Split
from showtell.data.splits import by_split, split_train_test, tuning_split, tuning_subset
from showtell.errors import ConfigError, DataError

SPLITS: list[Split] = ["train", "val", "test"]


def image(image_id: str, split: Split = "train") -> CaptionedImage:
    return CaptionedImage(Path(f"{image_id}.jpg"), ("a dog",), split, image_id)


def train_images(count: int) -> list[CaptionedImage]:
    return [image(str(number)) for number in range(count)]


image_lists = st.lists(st.text(min_size=1, max_size=3), unique=True, min_size=20, max_size=30).map(
    lambda ids: [image(image_id) for image_id in ids]
)
fractions = st.floats(0.05, 0.45)
seeds = st.integers(0, 2**40)


@given(image_lists, fractions, fractions, seeds)
def test_splits_hold_every_image_once_in_order_and_of_the_asked_size(
    images: list[CaptionedImage], val: float, test: float, seed: int
) -> None:
    cut = split_train_test(images, val_fraction=val, test_fraction=test, seed=seed)
    assert [replace(item, split="train") for item in cut] == images
    assert len(by_split(cut, "val")) == round(val * len(images))
    assert len(by_split(cut, "test")) == round(test * len(images))
    assert by_split(cut, "train")


@given(image_lists, seeds, st.randoms())
def test_splits_do_not_depend_on_the_order_of_the_files(images, seed, random) -> None:
    shuffled = images.copy()
    random.shuffle(shuffled)
    one = split_train_test(images, val_fraction=0.2, test_fraction=0.3, seed=seed)
    other = split_train_test(shuffled, val_fraction=0.2, test_fraction=0.3, seed=seed)
    assert set(one) == set(other)
    assert set(tuning_subset(images, 0.3, seed)) == set(tuning_subset(shuffled, 0.3, seed))


shares = st.sampled_from([0.0, 0.01, 0.4, 0.6])


@given(st.integers(1, 4), shares, st.sampled_from([0.0, 0.01, 0.3]), st.sets(st.sampled_from(SPLITS[1:])))
def test_the_remedy_for_too_few_images_helps(
    count: int, val: float, test: float, present: set[Split]
) -> None:
    def cut(more: int = 0, *, test: float = test, val: float = val) -> list[CaptionedImage]:
        images = [*train_images(count + more), *(image(split, split) for split in present)]
        return split_train_test(images, val_fraction=val, test_fraction=test, seed=0)

    try:
        cut()
    except ConfigError as error:
        message = str(error)
        if match := re.search(r"add images \((\d) at least\)", message):
            cut(int(match[1]) - count, val=min(val, 0.01), test=min(test, 0.01))
        else:
            assert re.search(r"lower (it|them)$", message)
            cut(val=min(val, 0.01), test=min(test, 0.01))
        if "set data.test_fraction 0" in message:
            cut(test=0.0, val=min(val, 0.01))


@given(image_lists, seeds, st.tuples(fractions, fractions).map(sorted))
def test_a_smaller_tuning_subset_is_part_of_a_larger(images, seed, shares) -> None:
    small, large = (tuning_subset(images, share, seed) for share in shares)
    assert set(small) <= set(large) <= set(images)
    assert len(large) == round(shares[1] * len(images))
    assert [item for item in images if item in set(large)] == large


def test_splits_are_the_same_on_every_machine() -> None:
    # expected: printf 'split-0:%s' $id | sha256sum, for id 0..19, sorted
    cut = split_train_test(train_images(20), val_fraction=0.1, test_fraction=0.1, seed=0)
    moved = {split: [item.image_id for item in by_split(cut, split)] for split in ("val", "test")}
    assert moved == {"val": ["3", "19"], "test": ["6", "10"]}
    assert [item.image_id for item in tuning_subset(train_images(20), 0.15, 0)] == ["2", "7", "18"]


def test_another_seed_makes_other_splits_and_the_test_split_ignores_the_val_fraction() -> None:
    images = train_images(200)
    first = split_train_test(images, val_fraction=0.1, test_fraction=0.1, seed=0)
    second = split_train_test(images, val_fraction=0.1, test_fraction=0.1, seed=1)
    third = split_train_test(images, val_fraction=0.3, test_fraction=0.1, seed=0)
    assert by_split(first, "test") != by_split(second, "test")
    assert by_split(first, "test") == by_split(third, "test")


@pytest.mark.parametrize("official", ["val", "test"])
def test_official_splits_stay_as_they_are(official: Split) -> None:
    images = [*train_images(20), image("official", official)]
    cut = split_train_test(images, val_fraction=0.1, test_fraction=0.1, seed=0)
    other: Split = "test" if official == "val" else "val"
    assert [item.image_id for item in by_split(cut, official)] == ["official"]
    assert len(by_split(cut, other)) == 2
    assert len(by_split(cut, "train")) == 18


def test_nothing_is_cut_where_nothing_is_asked_for() -> None:
    images = train_images(3)
    assert split_train_test(images, val_fraction=0, test_fraction=0, seed=0) == images


def test_the_tuning_subset_is_of_training_images() -> None:
    images = [image(str(number), SPLITS[number % 3]) for number in range(30)]
    assert set(tuning_subset(images, 1.0, 0)) == set(by_split(images, "train"))


def test_a_share_that_is_asked_for_holds_an_image_at_least() -> None:
    few = train_images(4)
    cut = split_train_test(few, val_fraction=0.1, test_fraction=0.1, seed=0)
    assert sorted(image.split for image in cut) == ["test", "train", "train", "val"]
    assert len(tuning_subset(few, 0.1, 0)) == 1
    with pytest.raises(ConfigError, match="leave none to train on"):
        split_train_test(train_images(2), val_fraction=0.1, test_fraction=0.1, seed=0)
    with pytest.raises(DataError, match="no training images"):
        split_train_test([image("a", "val")], val_fraction=0.1, test_fraction=0.1, seed=0)


@given(st.integers(2, 60), st.floats(0.05, 0.5), st.floats(0.05, 0.45), st.integers(0, 3))
def test_tuning_split_trains_and_validates_on_training_images(
    count: int, fraction: float, val_fraction: float, seed: int
) -> None:
    images = [*train_images(count), *(image(f"v{number}", "val") for number in range(5))]
    split = tuning_split(images, fraction, val_fraction, seed)
    train, val = by_split(split, "train"), by_split(split, "val")
    assert train == tuning_subset(images, fraction, seed)
    assert len(val) == max(1, round(count * val_fraction))
    ids = [item.image_id for item in split]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {item.image_id for item in by_split(images, "train")}


def test_tuning_split_needs_images_for_both() -> None:
    for fraction, val_fraction in ((0.8, 0.3), (1.0, 0.1), (0.5, 0.0)):
        with pytest.raises(ConfigError, match="tuning needs some of both"):
            tuning_split(train_images(10), fraction, val_fraction, 0)
