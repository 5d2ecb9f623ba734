"""The settings of a run on the command line, and what is said of its data: shared by commands."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import fields, replace
from typing import get_args

import yaml
from jsonargparse import ArgumentParser, Namespace

from showtell.config import RunConfig
from showtell.data.prepare import PreparedData
from showtell.data.records import Split

log = logging.getLogger(__name__)


def add_run_arguments(parser: ArgumentParser) -> None:
    """Add `--config` and an argument for each setting of `RunConfig`."""
    parser.add_argument(
        "--config", action="config", help="a YAML file of settings, e.g. configs/flickr8k.yaml"
    )
    parser.add_class_arguments(RunConfig, nested_key=None)
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="drop and count unusable annotations and images: data.skip_bad",
    )


def to_run_config(parser: ArgumentParser, args: Namespace) -> RunConfig:
    """The settings that the arguments give.

    Raises:
        ConfigError: values are out of range, or contradict each other.
    """
    made = parser.instantiate(args)
    config = RunConfig(**{field.name: made[field.name] for field in fields(RunConfig)})
    return replace(config, data=replace(config.data, skip_bad=config.data.skip_bad or args.skip_bad))


def run_settings(parser: ArgumentParser, args: Namespace) -> str:
    """The settings as YAML, which `--config` takes."""
    settings = yaml.safe_load(parser.dump(args, skip_unset=False))
    return yaml.safe_dump({field.name: settings[field.name] for field in fields(RunConfig)}, sort_keys=False)


def describe(data: PreparedData) -> None:
    """Say how large a dataset is and what was dropped of it."""
    log.info(
        "%s: %s train, %s val, %s test images; a vocabulary of %s words",
        data.name,
        *(f"{len(part):,}" for part in (data.train, data.val, data.test)),
        f"{len(data.vocabulary):,}",
    )
    datasets = list(dict.fromkeys(image.dataset for image in data.images))
    for dataset in datasets if len(datasets) > 1 else ():
        splits = Counter(image.split for image in data.images if image.dataset == dataset)
        counts = (f"{splits[split]:,}" for split in get_args(Split))
        log.info("  %s: %s train, %s val, %s test images", dataset, *counts)
    for reason, count in data.skipped.items():
        log.warning("dropped %d: %s", count, reason)
