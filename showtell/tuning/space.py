"""The search space of a study: which settings are tried, and in which ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin, get_type_hints

import yaml

from showtell.config import DecoderConfig, RunConfig
from showtell.errors import ConfigError
from showtell.utils.yaml_files import load_yaml

if TYPE_CHECKING:
    from optuna import Trial

Value = float | int | str | bool
SECTIONS = ("decoder", "training", "self_critical", "search")
"""Sections that may be tuned: the data, the encoder and the features are the same in all trials.

If trials start from a model, `finetune` may be tuned too, and of `decoder` only the dropout.
"""
Metric = Literal["CIDEr", "BLEU-4", "val_loss"]
"""Score of a trial's saved model that a study optimises."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a study: one setting, or several that are set together.

    Attributes:
        settings: their names, such as `training.learning_rate`.
        low: of a number, its least value, which all settings take.
        high: its greatest value.
        log: search its orders of magnitude.
        whole: only whole numbers.
        choices: instead of a range: what the study calls a choice -> the value of each setting.
    """

    settings: tuple[str, ...]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: Mapping[Value, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the parameter in the study."""
        return ", ".join(self.settings)

    @property
    def extremes(self) -> Iterable[Value]:
        """Values between which all others lie, or all of them."""
        return self.choices or ((int(self.low), int(self.high)) if self.whole else (self.low, self.high))

    def of(self, value: Value) -> dict[str, Value]:
        """Setting -> its value, of the parameter's value."""
        each = self.choices[value] if self.choices else (value,) * len(self.settings)
        return dict(zip(self.settings, each, strict=True))

    def own(self, config: RunConfig) -> Value | None:
        """The value of the parameter that the configuration has itself, or None if it is not in the space."""
        now = tuple(setting(config, name) for name in self.settings)
        if self.choices:
            return next((choice for choice, values in self.choices.items() if values == now), None)
        same: Value = now[0]
        return same if set(now) == {same} and self.low <= float(same) <= self.high else None

    def suggest(self, trial: Trial) -> Value:
        """The value that a trial is to try."""
        if self.choices:
            chosen: Any = trial.suggest_categorical(self.name, list(self.choices))
            return cast(Value, chosen)
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


class SearchSpace:
    """Parameters, each checked against the settings that they stand for.

    Args:
        description: parameter -> its range, as the YAML file has it.
        config: the settings that are not searched.

    Raises:
        ConfigError: a setting is unknown or cannot be tuned, a range is invalid, or one of its ends is
            refused by the configuration.
    """

    def __init__(self, description: Mapping[str, Any], config: RunConfig) -> None:
        if not isinstance(description, Mapping) or not description:
            raise ConfigError("the search space is empty: list settings with {low, high} or {choices}")
        self.parameters = [_parameter(str(name), ranges, config) for name, ranges in description.items()]
        names = [name for parameter in self.parameters for name in parameter.settings]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"the search space has {min(repeated)} twice")
        for parameter in self.parameters:
            for value in parameter.extremes:
                given = with_settings(config, parameter.of(value))
                if _starts_from_model(config) and given.decoder.dropout == DecoderConfig.dropout:
                    raise ConfigError(
                        f"search space: decoder.dropout {DecoderConfig.dropout:g} stands for that of"
                        f" {config.init}; choose another value"
                    )

    @classmethod
    def read(cls, text: str, config: RunConfig) -> SearchSpace:
        """Of the text of a YAML file."""
        try:
            return cls(load_yaml(text), config)
        except yaml.YAMLError as error:
            raise ConfigError(f"the search space is not YAML: {' '.join(str(error).split())}") from error

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Setting -> the value that a trial is to try."""
        return self.settings({parameter.name: parameter.suggest(trial) for parameter in self.parameters})

    def settings(self, parameters: Mapping[str, Value]) -> dict[str, Value]:
        """Setting -> value, of a trial's parameters."""
        return {name: value for p in self.parameters for name, value in p.of(parameters[p.name]).items()}

    def own(self, config: RunConfig) -> dict[str, Value]:
        """Parameter -> the value that the configuration has itself, if that belongs to the space."""
        values = {parameter.name: parameter.own(config) for parameter in self.parameters}
        return {name: value for name, value in values.items() if value is not None}


def setting(config: RunConfig, name: str) -> Any:
    """The value of a setting such as `training.learning_rate`."""
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


def with_settings(config: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """The configuration with other values of some settings.

    Raises:
        ConfigError: they are out of range, or contradict each other.
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    parts = {name: replace(getattr(config, name), **changed) for name, changed in sections.items()}
    return replace(config, **parts)


def _parameter(name: str, ranges: Any, config: RunConfig) -> Parameter:
    settings = tuple(part.strip() for part in name.split(","))
    kinds = [_kind(part, config) for part in settings]
    if not isinstance(ranges, Mapping) or ranges.keys() - {"low", "high", "log", "choices"}:
        raise ConfigError(f"search space: {name} needs {{low, high}} (and log: true), or {{choices: [...]}}")
    if "choices" not in ranges:
        return _range(name, settings, kinds, ranges)
    choices = ranges["choices"]
    if len(ranges) > 1 or not isinstance(choices, list) or not choices:
        raise ConfigError(f"search space: {name}: choices stand alone, as a list of values")
    return Parameter(settings, choices=dict(_choice(name, kinds, choice) for choice in choices))


def _choice(name: str, kinds: Sequence[Any], choice: Any) -> tuple[Value, tuple[Value, ...]]:
    """The study's name of a choice, and the value of each setting; a single value applies to all."""
    values = choice if isinstance(choice, list) else [choice] * len(kinds)
    if len(values) != len(kinds):
        raise ConfigError(
            f"search space: {name}: {choice} needs a value for each of the {len(kinds)} settings"
        )
    each = tuple(_checked(name, kind, value) for kind, value in zip(kinds, values, strict=True))
    return (", ".join(map(str, each)) if isinstance(choice, list) else each[0]), each


def _range(
    name: str, settings: tuple[str, ...], kinds: Sequence[Any], ranges: Mapping[str, Any]
) -> Parameter:
    kind, *others = kinds
    if kind not in (int, float) or any(other is not kind for other in others):
        raise ConfigError(f"search space: {name}: no numbers of one kind; list values as {{choices: [...]}}")
    if not {"low", "high"} <= ranges.keys():
        raise ConfigError(f"search space: {name} needs both low and high")
    low, high = (_checked(name, kind, ranges[end]) for end in ("low", "high"))
    log = ranges.get("log", False)
    if not isinstance(log, bool) or float(low) >= float(high) or (log and float(low) <= 0):
        raise ConfigError(f"search space: {name}: low must be under high, and with log: true over 0")
    return Parameter(settings, float(low), float(high), log, kind is int)


def _starts_from_model(config: RunConfig) -> bool:
    return config.init not in ("auto", "none")


def _kind(name: str, config: RunConfig) -> Any:
    """The type of a setting's values: a class, or a Literal."""
    section, _, key = name.partition(".")
    starts_from_model = _starts_from_model(config)
    sections = (*SECTIONS, "finetune") if starts_from_model else SECTIONS
    part = getattr(config, section, None) if section in sections else None
    if not is_dataclass(part) or key not in {f.name for f in fields(part)}:
        raise ConfigError(
            f"search space: {name} cannot be tuned; a setting of {', '.join(sections)} can (see --help)"
        )
    if starts_from_model and section == "training" and hasattr(config.finetune, key):
        raise ConfigError(f"search space: {name}: trials start from {config.init}; search finetune.{key}")
    if starts_from_model and section == "decoder" and key != "dropout":
        raise ConfigError(
            f"search space: {name} is that of {config.init}, which trials start from; leave it out, or train"
            " from scratch (--init none)"
        )
    return get_type_hints(type(part))[key]


def _checked(name: str, kind: Any, value: Any) -> Value:
    """A value of the setting's type."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    good = value in get_args(kind) if get_origin(kind) is Literal else type(value) is kind
    if not good:
        hint = ": write 1.0e-3, YAML takes 1e-3 for text" if kind is float and isinstance(value, str) else ""
        raise ConfigError(f"search space: {name}: {value!r} is no value of it{hint}")
    checked: Value = value
    return checked
