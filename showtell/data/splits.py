"""Splits: by image, seeded, the same on every machine and for every order of the files.

The images are put in an order that depends on the seed and on each image's id alone (by a hash), and a
split is the beginning of that order. So one image more or less changes the place of no other, and a smaller
share is always part of a larger one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from showtell.data.records import CaptionedImage, Split
from showtell.errors import ConfigError, DataError


def by_split(images: Sequence[CaptionedImage], split: Split) -> list[CaptionedImage]:
    """The images of one split, in their order; none if the dataset has no such split."""
    return [image for image in images if image.split == split]


def split_train_test(
    images: Sequence[CaptionedImage], *, val_fraction: float, test_fraction: float, seed: int
) -> list[CaptionedImage]:
    """Cut the splits that a dataset lacks from its training images; splits that it has stay as they are.

    Args:
        images: the dataset; no two with the same id.
        val_fraction: share of the training images to validate on, used if there is no `val`; 0 for none.
        test_fraction: share of the training images to test on, used if there is no `test`; 0 for none.
        seed: another seed, other splits.

    Returns:
        All images in their order, some with another split.

    Raises:
        DataError: the dataset has no training images.
        ConfigError: the shares leave no image to train on.
    """
    train = by_split(images, "train")
    if not train:
        raise DataError("the dataset has no training images; put some in the split 'train'")
    present = {image.split for image in images}
    moved: dict[str, Split] = {}
    order = _shuffled(train, f"split-{seed}")
    fractions: list[tuple[Split, float]] = [("test", test_fraction), ("val", val_fraction)]
    cut = {split: fraction for split, fraction in fractions if split not in present and fraction > 0}
    for split, fraction in cut.items():
        count = _count(len(train), fraction)
        moved |= dict.fromkeys(order[len(moved) : len(moved) + count], split)
    if len(moved) >= len(train):
        total = " + ".join(f"data.{split}_fraction {fraction:g}" for split, fraction in cut.items())
        raise ConfigError(
            f"{total} of {len(train)} images leave none to train on; {_remedy(len(train), list(cut))}"
        )
    return [replace(image, split=moved.get(image.image_id, image.split)) for image in images]


def _remedy(count: int, cut: list[Split]) -> str:
    """What to do if the splits that are cut take all images, of which each split takes one at least."""
    if count > len(cut):
        return "lower them" if len(cut) > 1 else "lower it"
    without = ", or set data.test_fraction 0" if "test" in cut and count == len(cut) else ""
    return f"add images ({len(cut) + 1} at least){without}"


def tuning_subset(images: Sequence[CaptionedImage], fraction: float, seed: int) -> list[CaptionedImage]:
    """The part of the training images on which to tune hyperparameters, in their order.

    Args:
        images: the dataset.
        fraction: share of the training images; the subset of a smaller share is part of that of a larger.
        seed: another seed, another subset.
    """
    train = by_split(images, "train")
    chosen = set(_shuffled(train, f"tuning-{seed}")[: _count(len(train), fraction)])
    return [image for image in train if image.image_id in chosen]


def tuning_split(
    images: Sequence[CaptionedImage], fraction: float, val_fraction: float, seed: int
) -> list[CaptionedImage]:
    """The tuning subset to train on, and other training images to validate on, in their order.

    So what is tuned has seen neither the validation images of the dataset nor those it was trained on.

    Args:
        images: the dataset.
        fraction: share of the training images in the subset (see `tuning_subset`).
        val_fraction: share of the training images to validate on.
        seed: as of `tuning_subset`.

    Raises:
        ConfigError: the shares leave no image to train or to validate on.
    """
    train = by_split(images, "train")
    order = _shuffled(train, f"tuning-{seed}")
    chosen, count = set(order[: _count(len(train), fraction)]), _count(len(train), val_fraction)
    held_out = set(order[-count:])
    if chosen & held_out or not val_fraction:
        raise ConfigError(
            f"data.tuning_fraction {fraction:g} and data.val_fraction {val_fraction:g} of {len(train)}"
            " training images: tuning needs some of both, and no more than all"
        )
    kept = [image for image in train if image.image_id in chosen | held_out]
    return [replace(image, split="val") if image.image_id in held_out else image for image in kept]


def _shuffled(images: Sequence[CaptionedImage], salt: str) -> list[str]:
    """The ids of the images, in the order of their hashes."""

    def key(image_id: str) -> bytes:
        return hashlib.sha256(f"{salt}:{image_id}".encode()).digest()

    return sorted((image.image_id for image in images), key=key)


def _count(total: int, fraction: float) -> int:
    """The number of images of a requested split, at least one."""
    return max(1, round(total * fraction))
