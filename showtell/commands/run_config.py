"""The settings of a run on the command line: shared by commands."""

from __future__ import annotations

from dataclasses import fields, replace

import yaml
from jsonargparse import ArgumentParser, Namespace

from showtell.config import RunConfig


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
