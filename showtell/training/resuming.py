"""Resuming a run with its own settings, some of which may change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import yaml

from showtell.config import SECTIONS, RunConfig
from showtell.errors import ConfigError, UsageError, message_line
from showtell.utils.runs import CONFIG
from showtell.utils.yaml_files import read_yaml

CHANGEABLE: Final = frozenset(
    {
        *(
            "data.root",
            "data.format",
            "data.images",
            "data.skip_bad",
        ),  # it may have moved; its words are compared
        *("encoder.precision", "features", "cache.dir"),
        *("training.epochs", "training.patience", "training.precision"),
        *("training.checkpoint_minutes", "training.num_workers"),
        *("finetune.epochs", "finetune.patience", "self_critical.epochs"),
        *("distillation.epochs", "distillation.teachers"),
        *("trainer.devices", "trainer.num_nodes"),
    }
)
"""Settings that a resumed run may change: how long it trains, where things are, what computes."""
_EPOCHS: Final = {
    "cross-entropy": ("training.epochs", "finetune.epochs"),
    "self-critical": ("self_critical.epochs",),
    "distillation": ("distillation.epochs",),
}
"""The stages of training in their order, and the settings of their length."""
_SHARED: Final = ("epochs", "patience")
"""Changeable settings of `finetune` that stand in for those of `training`."""


def read_settings(folder: Path) -> RunConfig:
    """The settings of a run, which it has written to its folder.

    Raises:
        UsageError: the file is missing or damaged.
    """
    path = folder / CONFIG
    try:
        values = read_yaml(path)
        values["cache"]["views"] = tuple(values["cache"]["views"])
        sections = {key: section(**values.get(key, {})) for key, section in SECTIONS.items()}
        plain = {key: values[key] for key in ("init", "features", "out") if key in values}
        return RunConfig(**plain, **sections)
    except ConfigError as error:
        raise UsageError(f"{path}: {error}; fix it, or start a new run") from error
    except (OSError, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path}: damaged ({message_line(str(error))}); fix it, or start a new run"
        ) from error


def with_settings_of(run: RunConfig, given: RunConfig) -> RunConfig:
    """The settings that a caller gave, with those of a run in place of values that equal their defaults.

    Args:
        run: the settings of the run.
        given: those of the caller.
    """
    sections = {key: _filled(getattr(run, key), getattr(given, key)) for key in SECTIONS}
    features = run.features if given.features == RunConfig.features else given.features
    init = run.init if given.init == RunConfig.init else given.init
    return replace(run, init=init, features=features, **sections)


def resumed_settings(run: RunConfig, wanted: RunConfig, folder: Path) -> tuple[RunConfig, list[str]]:
    """The settings of a resumed run, and a line for each that has changed.

    Args:
        run: the settings that it had.
        wanted: the settings that are asked for. `auto` stands for what the run made of it.
        folder: of the run, for the message.

    Raises:
        ConfigError: one is asked for that cannot change within a run.
    """
    settled = wanted
    if wanted.init == "auto":
        settled = replace(settled, init=run.init)
    if wanted.data.min_count == "auto":
        settled = replace(settled, data=replace(settled.data, min_count=run.data.min_count))
    settled = _in_both(run, settled)
    changed = list(_differences(asdict(run), asdict(settled)))
    fixed = [
        f"{name} {_shown(old)}, not {_shown(new)}" for name, old, new in changed if name not in CHANGEABLE
    ]
    if fixed:
        raise ConfigError(
            f"{folder}: this run has {'; '.join(fixed)}; resume it with its own settings, or start a new one"
            " (without --resume)"
        )
    return settled, [f"{name} {_shown(new)}, before {_shown(old)}" for name, old, new in changed]


def refuse_past_stages(stage: str, changes: Sequence[str]) -> None:
    """Refuse other epochs of a stage that is past: they would have no effect.

    Args:
        stage: the stage that a resumed run is in.
        changes: lines of `resumed_settings`.

    Raises:
        ConfigError: there are such.
    """
    for past in itertools.takewhile(lambda each: each != stage, _EPOCHS):
        for name in _EPOCHS[past]:
            if any(change.startswith(f"{name} ") for change in changes):
                raise ConfigError(
                    f"{name}: this run is past {past} training, in {stage}; leave it out, or start a new"
                    " run from its model (--init)"
                )


def _filled(run: Any, given: Any) -> Any:
    """A section of settings: those of a run, but for given values that are not the default."""
    usual = type(given)()
    changed = {
        field.name: getattr(given, field.name)
        for field in fields(given)
        if getattr(given, field.name) != getattr(usual, field.name)
    }
    return replace(run, **changed)


def _in_both(run: RunConfig, wanted: RunConfig) -> RunConfig:
    """A new value of `training` is also that of `finetune`, and the other way round: see `applied_to`."""
    training, finetune = wanted.training, wanted.finetune
    for name in _SHARED:
        if getattr(training, name) != getattr(run.training, name):
            finetune = replace(finetune, **{name: getattr(training, name)})
        elif getattr(finetune, name) != getattr(run.finetune, name) and run.init != "none":
            training = replace(training, **{name: getattr(finetune, name)})
    if run.init == "none":
        finetune = wanted.finetune
    return replace(wanted, training=training, finetune=finetune)


def _differences(
    old: dict[str, Any], new: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Name, old and new value of the settings that differ; the folder of the run is none of them."""
    for key, value in new.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(old[key], dict):
            yield from _differences(old[key], value, f"{name}.")
        elif value != old[key] and name != "out":
            yield name, old[key], value


def _shown(value: Any) -> str:
    """A value as it stands on the command line."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
