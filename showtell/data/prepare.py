"""From the settings of a dataset to records, splits and vocabulary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from showtell.config import DataConfig
from showtell.data.annotations import find_dataset_root, load_annotations
from showtell.data.records import CaptionedImage
from showtell.data.scenes import make_scenes
from showtell.data.splits import by_split, split_train_test, tuning_subset
from showtell.data.vocabulary import Vocabulary, build_vocab
from showtell.errors import DataError


@dataclass(frozen=True)
class PreparedData:
    """A dataset ready for training.

    Attributes:
        name: of the dataset, for people.
        images: all records, with their splits.
        vocabulary: of the training captions.
        skipped: unusable annotations that were dropped, by reason.
    """

    name: str
    images: list[CaptionedImage]
    vocabulary: Vocabulary
    skipped: Counter[str]

    @property
    def train(self) -> list[CaptionedImage]:
        """Images to train on."""
        return by_split(self.images, "train")

    @property
    def val(self) -> list[CaptionedImage]:
        """Images to validate on."""
        return by_split(self.images, "val")

    @property
    def test(self) -> list[CaptionedImage]:
        """Images that training never sees."""
        return by_split(self.images, "test")


def prepare_data(config: DataConfig, cache_dir: Path) -> PreparedData:
    """Load the annotations, split by image, and build the vocabulary of the training captions.

    Args:
        config: the settings.
        cache_dir: where the embedded dataset is drawn, if it is asked for.

    Raises:
        AnnotationError: the annotations cannot be used.
        UsageError: the dataset is nowhere.
        DataError: no image to train on or to validate on.
    """
    name, images, skipped = load_images(config, cache_dir)
    if config.tuning:
        kept = {image.image_id for image in tuning_subset(images, config.tuning_fraction, config.seed)}
        images = [image for image in images if image.split != "train" or image.image_id in kept]
    train = by_split(images, "train")
    if not train:
        raise DataError(f"{name}: the dataset has no training images; put some in the split 'train'")
    if not by_split(images, "val"):
        raise DataError(f"{name}: no image to validate on; set data.val_fraction to more than 0")
    vocabulary = build_vocab((c for image in train for c in image.captions), config.min_count)
    return PreparedData(name, images, vocabulary, skipped)


def load_images(
    config: DataConfig, cache_dir: Path, *, need_files: bool = True
) -> tuple[str, list[CaptionedImage], Counter[str]]:
    """Load the annotations, split by image as training splits them (without training images: as they are).

    Args:
        config: the settings.
        cache_dir: where the embedded dataset is drawn, if it is asked for.
        need_files: refuse images whose files are not there.

    Returns:
        The dataset's name, its images, and how many entries were dropped, by reason.

    Raises:
        AnnotationError: the annotations cannot be used.
        UsageError: the dataset is nowhere.
    """
    if config.root is None or config.format == "scenes":
        folder = cache_dir / f"scenes-{config.num_scenes}-{config.seed}"
        return "scenes", make_scenes(folder, config.num_scenes, config.seed), Counter()
    root = find_dataset_root(config.root)
    loaded = load_annotations(
        root,
        format=config.format,
        images=Path(config.images) if config.images else None,
        skip_bad=config.skip_bad,
        need_files=need_files,
    )
    images = loaded.images
    if by_split(images, "train"):
        images = split_train_test(
            images, val_fraction=config.val_fraction, test_fraction=config.test_fraction, seed=config.seed
        )
    return root.name, images, Counter(loaded.skipped_by_reason)
