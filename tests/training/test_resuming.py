"""A run goes on with its own settings; what may change is changed, the rest is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from showtell.config import DataConfig, DecoderConfig, FineTuningConfig, RunConfig, TrainingConfig
from showtell.errors import ConfigError, UsageError
from showtell.training.resuming import read_settings, resumed_settings, with_settings_of
from showtell.training.run import settings_yaml

RUN = RunConfig(
    init="none",
    data=DataConfig(root="photos", min_count=2),
    decoder=DecoderConfig(hidden_dim=512),
    training=TrainingConfig(epochs=7, batch_size=32),
)
TUNED = replace(RUN, init="everyday", training=TrainingConfig(epochs=10, patience=3))


def change(config: RunConfig, name: str, value: Any) -> RunConfig:
    section, _, field = name.partition(".")
    if not field:
        return replace(config, **{section: value})
    return replace(config, **{section: replace(getattr(config, section), **{field: value})})


def value_of(config: RunConfig, name: str) -> Any:
    section, _, field = name.partition(".")
    return getattr(getattr(config, section), field) if field else getattr(config, section)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("decoder.hidden_dim", 256, "decoder.hidden_dim 512, not 256"),
        ("decoder.cell", "gru", "decoder.cell lstm, not gru"),
        ("training.batch_size", 64, "training.batch_size 32, not 64"),
        ("encoder.weights", "other", "encoder.weights resnet50-imagenet, not other"),
        ("cache.views", ("full", "flip"), "cache.views [full], not [full, flip]"),
        ("data.tuning", True, "data.tuning false, not true"),
        ("init", "everyday", "init none, not everyday"),
    ],
)
def test_what_makes_another_run_is_refused_by_name(name: str, value: Any, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        resumed_settings(RUN, change(RUN, name, value), Path("runs/x"))
    assert str(error.value).startswith(f"runs/x: this run has {line}; resume it with its own settings")
    assert "\n" not in str(error.value)


def test_several_are_named_together() -> None:
    wanted = change(change(RUN, "decoder.hidden_dim", 256), "decoder.dropout", 0.5)
    with pytest.raises(ConfigError, match=r"hidden_dim 512, not 256; decoder.dropout 0.3, not 0.5; resume"):
        resumed_settings(RUN, wanted, Path("runs/x"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training.epochs", 20),
        ("training.patience", 0),
        ("data.root", "/elsewhere/photos"),
        ("cache.dir", "/fast/cache"),
        ("trainer.devices", 2),
        ("self_critical.epochs", 3),
    ],
)
def test_what_may_change_is_changed_and_named(name: str, value: Any) -> None:
    settled, changes = resumed_settings(RUN, change(RUN, name, value), Path("runs/x"))
    assert value_of(settled, name) == value
    assert changes == [f"{name} {value}, before {value_of(RUN, name)!s}"]


def test_what_was_auto_is_what_the_run_made_of_it() -> None:
    wanted = change(change(RUN, "init", "auto"), "data.min_count", "auto")
    assert resumed_settings(RUN, wanted, Path("runs/x")) == (RUN, [])


def test_another_folder_of_the_run_is_no_change() -> None:
    assert resumed_settings(RUN, replace(RUN, out="runs/moved"), Path("runs/moved"))[1] == []


@pytest.mark.parametrize("name", ["training.epochs", "finetune.epochs"])
@pytest.mark.parametrize("epochs", [12, 15])  # 15 is the default of training
def test_epochs_of_fine_tuning_are_changed_by_either_name(name: str, epochs: int) -> None:
    settled, _ = resumed_settings(TUNED, change(TUNED, name, epochs), Path("runs/x"))
    assert settled.finetune.applied_to(settled.training).epochs == epochs


@pytest.mark.parametrize("run", [RUN, TUNED, RunConfig()])
def test_settings_are_read_as_they_were_written(run: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(settings_yaml(run))
    assert read_settings(tmp_path) == run


@pytest.mark.parametrize(
    "text", ["", "a: [", "- 1", "cache: {views: 3}", "training: {epochs: -1}", "decoder: 5"]
)
def test_damaged_settings_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"config.yaml: .*(fix it|start a new run)") as error:
        read_settings(tmp_path)
    assert "\n" not in str(error.value)


def test_in_python_defaults_stand_for_the_values_of_the_run() -> None:
    given = RunConfig(
        training=TrainingConfig(epochs=9), finetune=FineTuningConfig(), data=DataConfig(root="new")
    )
    merged = with_settings_of(RUN, given)
    assert merged.decoder.hidden_dim == 512
    assert (merged.training.epochs, merged.training.batch_size) == (9, 32)
    assert (merged.data.root, merged.data.min_count, merged.init) == ("new", 2, "none")
