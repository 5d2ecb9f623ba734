"""The datasets of an evaluation: which they are, and their images with the captions to compare with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from showtell.config import DataConfig
from showtell.data.annotations import find_dataset_root
from showtell.data.prepare import by_people, load_images, named_datasets, with_captions
from showtell.data.splits import by_split
from showtell.errors import ConfigError, UsageError, message_line
from showtell.evaluation.chair import load_instances
from showtell.evaluation.results import EvaluationData
from showtell.evaluation.settings import EvaluatedSplit, EvaluationSettings, is_file
from showtell.utils.runs import CONFIG
from showtell.utils.yaml_files import read_yaml

if TYPE_CHECKING:  # it imports torch, which takes seconds
    from showtell.captioning.base import CaptioningModel

DEFAULT_DATA: Final = "flickr8k"
DataInput = str | os.PathLike[str] | DataConfig | None


def datasets_of(settings: EvaluationSettings, data: DataInput) -> dict[str, DataConfig]:
    """The datasets to evaluate on by their names: of a run that was trained on several each by itself.

    Raises:
        UsageError: a dataset is nowhere.
    """
    config = _data_config(settings.models, data)
    config = replace(
        config,
        skip_bad=config.skip_bad or settings.skip_bad,
        references=settings.references or config.references,
        segmentation=settings.segmentation or config.segmentation,
        tuning=False,
    )
    if config.root is None or config.format == "scenes":
        return {"scenes": config}
    return {
        name: replace(config, root=[dataset], format="auto", images=None)
        for name, dataset in named_datasets(config).items()
    }


def _data_config(models: Sequence[str | CaptioningModel], data: DataInput) -> DataConfig:
    """The data that are given, else those of the first of the models that is a run, else the default.

    Raises:
        UsageError: the settings of the run are damaged, or no data are given and the default is not here.
    """
    if isinstance(data, DataConfig):
        return data
    if data is not None:
        return DataConfig(root=os.fspath(data))
    for model in models:
        name = model if isinstance(model, str) else model.name or ""
        run_config = Path(name, CONFIG)
        if name and not is_file(name) and run_config.is_file():
            try:
                return DataConfig(**read_yaml(run_config)["data"])
            except (OSError, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
                reason = message_line(str(error))
                raise UsageError(f"{run_config}: damaged ({reason}); name the data") from error
    try:
        find_dataset_root(DEFAULT_DATA)
    except UsageError as error:
        raise UsageError(
            f"no data to evaluate on: name yours with --data FOLDER (data), or get {DEFAULT_DATA}, which is"
            f" the default, with showtell data get {DEFAULT_DATA}"
        ) from error
    return DataConfig(root=DEFAULT_DATA)


def load_data(settings: EvaluationSettings, name: str, config: DataConfig) -> EvaluationData:
    """The images of the split, with the captions to compare with.

    Raises:
        UsageError: there are none in the split, or no such dataset.
        AnnotationError: the annotations cannot be used.
    """
    # Splits that the data lack are cut from the training images, as training does with the same settings. A
    # file of predictions is of all images unless a split is asked for.
    files_only = all(map(is_file, settings.models))
    cut_splits = settings.split != "all" and not (files_only and settings.split is None)
    try:
        _, images, skipped = load_images(
            config, settings.cache, need_files=settings.need_files, cut_splits=cut_splits
        )
    except ConfigError as error:  # too few to cut a split from
        raise UsageError(f"{name}: {error}; or evaluate all images (--split all)") from error
    without_splits = not cut_splits and all(image.split == "train" for image in images)
    split: EvaluatedSplit = settings.split or ("all" if without_splits else "val")
    chosen = images if split == "all" else by_split(images, split)
    if config.references == "person":
        chosen = with_captions([by_people(image) for image in chosen], skipped)
    if not chosen:
        present = sorted({image.split for image in images})
        raise UsageError(f"{name}: no images in the split {split!r}; choose {', '.join(present)} or all")
    training = [] if split in ("train", "all") else by_split(images, "train")
    if config.model_captions == 0:
        training = [by_people(image) for image in training]
    ids = {image.image_id for image in chosen}
    return EvaluationData(
        name,
        split,
        chosen,
        [caption for image in training for caption in image.captions],
        load_instances(settings.instances) if settings.instances else None,
        skipped,
        [image for image in images if image.image_id not in ids],
    )
