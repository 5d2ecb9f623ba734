"""Settings of the data: annotations, splits, vocabulary, views of images."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from showtell.config.checks import paths_to_text, require, require_known

DatasetFormat = str
"""One of `DATASET_FORMATS`, or the name of a plug-in of readers."""

DATASET_FORMATS = ("auto", "scenes", "coco", "karpathy", "flickr8k", "label-studio", "csv", "jsonl", "folder")

View = Literal[
    "full",
    "flip",
    "crop",
    "crop-flip",
    "small",
    "small-flip",
    "random-1",
    "random-2",
    "random-3",
    "random-4",
    "random-5",
    "random-6",
]

References = Literal["person", "all"]

Segmentation = Literal["spaces", "characters"]


@dataclass(frozen=True)
class DatasetConfig:
    """One of several datasets that are trained on together; `DataConfig` checks the values."""

    root: str = ""
    """Folder of the dataset, or its annotation file; must be given."""
    format: DatasetFormat = "auto"
    """The format of the annotations; `auto` detects it from the files."""
    images: str | None = None
    """Folder of the images, if it is not beside the annotations."""
    weight: float = 1.0
    """Number of times each training image occurs per epoch; with 0.5, every epoch uses another half of the
    images."""


_DATASET_HELP = (
    "write {root: FOLDER, format: coco, images: FOLDER, weight: 1}, the last three if they are needed, or"
    " the folder alone, as text"
)


def _to_dataset(item: str | DatasetConfig | dict[str, Any]) -> DatasetConfig:
    """An item of `data.root`.

    Raises:
        ConfigError: it is none of these, or has unknown keys.
    """
    if isinstance(item, DatasetConfig):
        return item
    if isinstance(item, str):
        return DatasetConfig(item)
    require(isinstance(item, dict), f"data.root: {item!r} is not a dataset; {_DATASET_HELP}")
    known = [each.name for each in fields(DatasetConfig)]
    unknown = sorted(set(map(str, item)) - set(known))
    require(not unknown, f"data.root: a dataset has no {', '.join(unknown)}, only {', '.join(known)}")
    return DatasetConfig(**item)


def _check_dataset(dataset: DatasetConfig) -> None:
    require(
        isinstance(dataset.root, str)
        and bool(dataset.root)
        and not dataset.root.lstrip().startswith(("{", "[")),
        f"data.root: {dataset.root or 'an entry without root'} is not a dataset; {_DATASET_HELP}",
    )
    require_known(f"data.root: the format of {dataset.root}", dataset.format, DATASET_FORMATS, "readers")
    require(
        isinstance(dataset.images, str | None),
        f"data.root: images of {dataset.root} is {dataset.images!r}; name a folder",
    )
    require(
        isinstance(dataset.weight, int | float) and 0 < dataset.weight <= 100,
        f"data.root: the weight of {dataset.root} must be over 0, at most 100",
    )


@dataclass(frozen=True)
class DataConfig:
    """Dataset, splits and vocabulary."""

    root: str | list[str | DatasetConfig | dict[str, Any]] | None = None
    """Folder of the dataset, or its annotation file; in YAML also a list of datasets, each a folder or
    {root, format, images, weight}. Default: synthetic scenes, which are generated. A relative path is also
    searched in the folders of the environment variable SHOWTELL_DATA, and in `data`."""
    format: DatasetFormat = "auto"
    """The format of the annotations; `auto` detects it from the files. Or the name of a plug-in."""
    images: str | None = None
    """Folder of the images, if it is not beside the annotations."""
    model_captions: float = 1.0
    """Weight, in the cross-entropy, of captions that a model wrote (`"source": "model"` in COCO's
    annotations), 0 to 1; 0 leaves them out."""
    references: References = "person"
    """References of validation: human captions only (`person`), or all."""
    segmentation: Segmentation = "spaces"
    """How text is split: at `spaces`; or, for scripts without them (Chinese, Japanese, Thai), `characters`:
    each is a word of its own."""
    num_scenes: int = 2400
    """Number of synthetic scenes to generate if no dataset is given."""
    val_fraction: float = 0.1
    """Fraction of the training images to validate on, if the dataset has no validation split."""
    test_fraction: float = 0.1
    """Fraction of the training images to test on, if the dataset has no test split."""
    tuning_fraction: float = 0.1
    """Fraction of the training images in the subset for hyperparameter tuning."""
    tuning: bool = False
    """Train on the subset for hyperparameter tuning only."""
    min_count: int | Literal["auto"] = "auto"
    """Words that occur fewer times than this in the training captions become <unk>. `auto`: 5, or 3 below
    20,000 captions, 2 below 5,000, 1 below 1,000."""
    max_caption_length: int = 30
    """Training captions are cut to this many words."""
    skip_bad: bool = False
    """Drop and count unusable annotations, instead of stopping at the first."""
    seed: int = 0
    """Random seed of the splits."""

    @property
    def datasets(self) -> list[DatasetConfig]:
        """The datasets to read; none for the synthetic scenes."""
        if self.root is None:
            return []
        if isinstance(self.root, str):
            return [DatasetConfig(self.root, self.format, self.images)]
        require(
            isinstance(self.root, list | tuple),
            f"data.root: {self.root!r} is neither text nor a list; {_DATASET_HELP}",
        )
        return [_to_dataset(item) for item in self.root]

    def __post_init__(self) -> None:
        paths_to_text(self, "root", "images")
        several = isinstance(self.root, list)
        require(
            not several or len(self.root or ()) > 0,
            "data.root is an empty list; name a dataset, or leave it out",
        )
        require(
            not several or (self.format == "auto" and self.images is None),
            "data.root is a list: give format and images there, {root: FOLDER, format: coco, images: FOLDER}",
        )
        require_known("data.format", self.format, DATASET_FORMATS, "readers")
        for dataset in self.datasets:
            _check_dataset(dataset)
        require(0 <= self.model_captions <= 1, "data.model_captions must be at least 0 and at most 1")
        for name in ("val_fraction", "test_fraction"):
            require(0 <= getattr(self, name) < 1, f"data.{name} must be at least 0 and less than 1")
        require(
            self.val_fraction + self.test_fraction < 1, "data.val_fraction + data.test_fraction must be < 1"
        )
        require(0 < self.tuning_fraction <= 1, "data.tuning_fraction must be over 0 and at most 1")
        require(self.min_count == "auto" or self.min_count >= 1, "data.min_count must be at least 1, or auto")
        require(self.max_caption_length >= 1, "data.max_caption_length must be at least 1")
        require(self.seed >= 0, "data.seed must be at least 0")
        require(self.num_scenes >= 20, "data.num_scenes must be at least 20")
