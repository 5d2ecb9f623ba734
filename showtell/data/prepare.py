"""From the settings of a dataset to records, splits and vocabulary."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from showtell.config import DataConfig, DatasetConfig
from showtell.data.annotations import LoadedAnnotations, find_dataset_root, load_annotations
from showtell.data.records import CaptionedImage
from showtell.data.scenes import make_scenes
from showtell.data.segmentation import segment, unsegmented_length
from showtell.data.splits import by_split, split_train_test, tuning_subset
from showtell.data.vocabulary import Vocabulary, build_vocab, choose_min_count
from showtell.errors import DataError

log = logging.getLogger(__name__)

WITHOUT_PEOPLE: Final = "image without a caption that a person wrote"
"""Reason for which an image is left out if human captions are required."""


@dataclass(frozen=True)
class PreparedData:
    """A dataset ready for training.

    Attributes:
        name: of the dataset, for people; of several datasets their names, joined by "+".
        images: all records, with their splits.
        vocabulary: of the training captions.
        min_count: words seen fewer times in the training captions are not in it.
        skipped: unusable annotations that were dropped, by reason.
    """

    name: str
    images: list[CaptionedImage]
    vocabulary: Vocabulary
    min_count: int
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
        cache_dir: where the embedded dataset is generated, if it is used.

    Raises:
        AnnotationError: the annotations cannot be used.
        UsageError: a dataset is nowhere.
        DataError: no image to train on or to validate on.
    """
    name, images, skipped = load_images(config, cache_dir)
    if config.tuning:
        kept = {image.image_id for image in tuning_subset(images, config.tuning_fraction, config.seed)}
        images = [image for image in images if image.split != "train" or image.image_id in kept]
    if config.model_captions == 0:
        images = [by_people(image) if image.split == "train" else image for image in images]
    if config.references == "person":
        images = [image if image.split == "train" else by_people(image) for image in images]
    usable = with_captions(images, skipped)
    train = by_split(usable, "train")
    if not train:
        raise DataError(f"{name}: the dataset has no training images; put some in the split 'train'")
    for dataset in dict.fromkeys(image.dataset for image in usable):
        if not any(image.split == "val" and image.dataset == dataset for image in usable):
            raise DataError(
                f"{dataset or name}: no image to validate on; set data.val_fraction to more than 0"
            )
    captions = [caption for image in train for caption in image.captions]
    min_count = choose_min_count(len(captions)) if config.min_count == "auto" else config.min_count
    return PreparedData(name, usable, build_vocab(captions, min_count), min_count, skipped)


def with_captions(images: Sequence[CaptionedImage], skipped: Counter[str]) -> list[CaptionedImage]:
    """The images that have captions left; the others are counted in `skipped`."""
    usable = [image for image in images if image.captions]
    if len(usable) < len(images):
        skipped[WITHOUT_PEOPLE] += len(images) - len(usable)
    return usable


def by_people(image: CaptionedImage) -> CaptionedImage:
    """The image with the captions that people wrote; without any, it has none."""
    return replace(image, captions=image.references, authors=()) if image.authors else image


def load_images(
    config: DataConfig, cache_dir: Path, *, need_files: bool = True, cut_splits: bool = True
) -> tuple[str, list[CaptionedImage], Counter[str]]:
    """Load the annotations, split by image as training splits them (without training images: as they are).

    Args:
        config: the settings.
        cache_dir: where the embedded dataset is generated, if it is used.
        need_files: refuse images whose files are not there.
        cut_splits: cut the splits that a dataset lacks from its training images.

    Returns:
        The name of the dataset, or of several joined by "+"; the images, those of several datasets with the
        dataset's name in `dataset` and before their ids; and how many entries were dropped, by reason.

    Raises:
        AnnotationError: the annotations cannot be used.
        UsageError: a dataset is nowhere.
    """
    if config.root is None or config.format == "scenes":
        folder = cache_dir / f"scenes-{config.num_scenes}-{config.seed}"
        return "scenes", make_scenes(folder, config.num_scenes, config.seed), Counter()
    datasets = named_datasets(config)
    together: list[CaptionedImage] = []
    skipped: Counter[str] = Counter()
    for name, dataset in datasets.items():
        images, dropped = _load_dataset(dataset, config, need_files=need_files, cut_splits=cut_splits)
        images = [replace(image, weight=dataset.weight) for image in images]
        if len(datasets) > 1:
            images = [replace(image, image_id=f"{name}/{image.image_id}", dataset=name) for image in images]
        together += images
        skipped += dropped
    return "+".join(datasets), together, skipped


def named_datasets(config: DataConfig) -> dict[str, DatasetConfig]:
    """The datasets to read by their names, which are those of their folders or files, in order.

    Where a name comes again, it is followed by -2, -3, ...

    Raises:
        UsageError: a dataset is nowhere.
    """
    named: dict[str, DatasetConfig] = {}
    for dataset in config.datasets:
        first = find_dataset_root(dataset.root).absolute().name  # "." has none of its own
        again = (f"{first}-{number}" for number in itertools.count(2))
        named[next(name for name in itertools.chain([first], again) if name not in named)] = dataset
    return named


def _log_what_was_read(root: Path, loaded: LoadedAnnotations) -> None:
    """One line on what a dataset was taken for, so that a wrong guess is seen before hours of training."""
    home = root if root.is_dir() else root.parent
    names = [file.relative_to(home).as_posix() for file in loaded.files]
    splits = Counter(image.split for image in loaded.images)
    parts = ", ".join(f"{splits[split]:,} {split}" for split in ("train", "val", "test") if splits[split])
    rest = _first_few([file.relative_to(home).as_posix() for file in loaded.alternatives])
    log.info(
        "Read %s: %s, format %s; %s images with %s captions (%s)%s",
        root,
        _first_few(names)
        or ("a text file beside each image" if loaded.format == "folder" else "by its plug-in"),
        loaded.format,
        f"{len(loaded.images):,}",
        f"{sum(len(image.captions) for image in loaded.images):,}",
        parts,
        f"; not read: {rest} (name the file with --data.root to read it instead)" if rest else "",
    )


def _first_few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _load_dataset(
    dataset: DatasetConfig, config: DataConfig, *, need_files: bool, cut_splits: bool
) -> tuple[list[CaptionedImage], Counter[str]]:
    """The images of one dataset, split, and how many entries were dropped, by reason."""
    root = find_dataset_root(dataset.root)
    loaded = load_annotations(
        root,
        format=dataset.format,
        images=Path(dataset.images) if dataset.images else None,
        skip_bad=config.skip_bad,
        need_files=need_files,
    )
    _log_what_was_read(root, loaded)
    images = loaded.images
    if config.segmentation == "characters":
        images = [replace(image, captions=tuple(map(segment, image.captions))) for image in images]
    elif letters := unsegmented_length(caption for image in images for caption in image.captions):
        log.warning(
            "%s: its words have %.0f letters on average, of a script without spaces: put spaces between the"
            " words first (jieba, fugashi, pythainlp), or split them into characters (--data.segmentation"
            " characters; evaluate --segmentation characters)",
            root,
            letters,
        )
    if cut_splits and by_split(images, "train"):
        images = split_train_test(
            images, val_fraction=config.val_fraction, test_fraction=config.test_fraction, seed=config.seed
        )
    return images, Counter(loaded.skipped_by_reason)
