"""The settings of a run on the command line: shared by commands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any, Final

import yaml
from jsonargparse import Namespace

from showtell.commands.shared.options import add_device
from showtell.commands.shared.parser import ArgumentGroup, Parser
from showtell.commands.shared.settings import add_settings, section_of
from showtell.config import SECTIONS, RunConfig

PLAIN: Final = ("init", "features", "out")
"""Its settings outside of sections."""
_SHORT: Final = {
    "data": {"root": "--data"},
    "training": {"epochs": "--epochs", "batch_size": "--batch-size", "learning_rate": "--learning-rate"},
}
_HIDDEN: Final[dict[str, frozenset[str]]] = {
    "data": frozenset({"skip_bad"}),  # --skip-bad
    "search": frozenset(
        ["num_captions", "diversity", "sample", "temperature", "top_k", "top_p", "draws", "seed"]
    ),
}
"""Settings of `RunConfig` that no run uses."""


def add_run_arguments(
    parser: Parser, *, unused: Collection[str] = (), plain: Collection[str] = PLAIN
) -> ArgumentGroup:
    """Add `--config` and an option for each setting of `RunConfig`.

    One file of settings serves all commands, so those that a command does not use are accepted by all.

    Args:
        parser: of the command.
        unused: sections (`data`) and settings (`data.references`) that the command does not use, which the
            help leaves out.
        plain: settings outside of sections that the help shows.

    Returns:
        The first group of the help: where the run goes, and how.
    """
    run = add_settings(
        parser, RunConfig, title="run", only=PLAIN, hidden=[name for name in PLAIN if name not in plain]
    )
    run.add_argument(
        "--config",
        metavar="FILE",
        action="config",
        help="a YAML file of settings, e.g. configs/flickr8k.yaml; options after it override it",
    )
    run.add_argument(
        "--skip-bad",
        action="store_true",
        help="drop and count unusable annotations and images, instead of stopping at the first",
    )
    add_device(run)
    for key, section in SECTIONS.items():
        hidden = {f.name for f in fields(section) if key in unused or f"{key}.{f.name}" in unused}
        hidden |= _HIDDEN.get(key, frozenset())
        short = {} if key in unused else _SHORT.get(key)
        add_settings(parser, section, key, title=key, hidden=hidden, short=short)
    return run


def to_run_config(parser: Parser, args: Namespace) -> RunConfig:
    """The settings that the arguments give.

    Raises:
        ConfigError: values are out of range, or contradict each other.
    """
    made = parser.instantiate(args)
    sections: dict[str, Any] = {key: section_of(made, key, section) for key, section in SECTIONS.items()}
    config = RunConfig(**{name: made[name] for name in PLAIN}, **sections)
    return replace(config, data=replace(config.data, skip_bad=config.data.skip_bad or args.skip_bad))


def run_settings(parser: Parser, args: Namespace) -> str:
    """The settings as YAML, which `--config` takes."""
    settings = yaml.safe_load(parser.dump(args, skip_unset=False))
    return yaml.safe_dump({field.name: settings[field.name] for field in fields(RunConfig)}, sort_keys=False)
