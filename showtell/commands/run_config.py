"""The settings of a run on the command line, and what is said of its data: shared by commands."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, fields, replace
from typing import Any, Final, get_args

import yaml
from jsonargparse import Namespace

from showtell.commands.options import add_device
from showtell.commands.parser import Options, Parser
from showtell.commands.settings import add_settings, section_of
from showtell.config import (
    CacheConfig,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    FineTuningConfig,
    RunConfig,
    SearchConfig,
    SelfCriticalConfig,
    TrainerConfig,
    TrainingConfig,
)
from showtell.data.prepare import PreparedData
from showtell.data.records import Split
from showtell.resources import DEFAULT_MODEL

log = logging.getLogger(__name__)

FEW_FROM_SCRATCH: Final = 1_000
FEW: Final = 50
"""Below so many training photos there is a warning, from scratch and from a model."""
TINY_VOCABULARY: Final = 100
"""Below so many words there is a warning."""


SECTIONS: Final[dict[str, type]] = {
    "data": DataConfig,
    "encoder": EncoderConfig,
    "cache": CacheConfig,
    "decoder": DecoderConfig,
    "training": TrainingConfig,
    "finetune": FineTuningConfig,
    "self_critical": SelfCriticalConfig,
    "trainer": TrainerConfig,
    "search": SearchConfig,
}
"""The sections of `RunConfig`, in the order of the help."""
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
) -> Options:
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


def run_settings(parser: Parser, args: Namespace, settled: RunConfig | None = None) -> str:
    """The settings as YAML, which `--config` takes.

    Args:
        parser: of the command line.
        args: the settings as they were given.
        settled: the settings that the run takes, where what it found in its data has decided some.
    """
    settings = yaml.safe_load(parser.dump(args, skip_unset=False))
    if settled is not None:
        settings["init"] = settled.init
        settings["data"]["min_count"] = settled.data.min_count
        for section in ("encoder", "decoder", "training"):
            settings[section] = asdict(getattr(settled, section))
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


def warn_of_few(data: PreparedData, config: RunConfig) -> None:
    """Warn where photos are few, or the vocabulary is tiny; drawn scenes are made to need little of both.

    Args:
        data: of the run.
        config: its settings, `init` settled.
    """
    if config.data.root is None or config.data.format == "scenes":
        return
    photos, words, fresh = len(data.train), len(data.vocabulary.words), config.init == "none"
    if fresh and photos < FEW_FROM_SCRATCH:
        log.warning(
            "%s training photos are few to learn from alone: expect captions that miss the photo;"
            " start from a model (--init %s), or add photos",
            f"{photos:,}",
            DEFAULT_MODEL,
        )
    elif photos < FEW:
        log.warning(
            "%s training photos are few: expect the captions of %s with some of your words; add photos",
            f"{photos:,}",
            config.init,
        )
    if fresh and words < TINY_VOCABULARY:
        log.warning(
            "a vocabulary of %s words is tiny, and captions will have no others: add captions, lower"
            " data.min_count (%d here), or start from a model (--init %s)",
            f"{words:,}",
            data.min_count,
            DEFAULT_MODEL,
        )
