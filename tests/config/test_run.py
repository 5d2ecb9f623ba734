"""A whole run: its sections, and values that concern several of them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import pytest

from showtell.config import (
    SECTIONS,
    CacheConfig,
    DataConfig,
    DistillationConfig,
    EncoderConfig,
    RunConfig,
    SearchConfig,
    TrainingConfig,
)
from showtell.errors import ConfigError


def test_the_defaults_are_a_valid_run_without_data_of_ones_own() -> None:
    config = RunConfig()
    assert config.data.datasets == []
    assert config.out_dir == Path("runs/scenes")
    with pytest.raises(FrozenInstanceError):
        config.out = "elsewhere"  # type: ignore[misc]


def test_sections_are_the_fields_that_have_settings_of_their_own() -> None:
    config = RunConfig()
    sections = {each.name for each in fields(config) if is_dataclass(getattr(config, each.name))}
    assert sections == set(SECTIONS)
    assert all(type(getattr(config, name)) is section for name, section in SECTIONS.items())


def test_a_run_is_not_validated_by_sampling() -> None:
    with pytest.raises(ConfigError, match=r"search\.sample is for captioning"):
        RunConfig(search=SearchConfig(sample=True))


def test_features_that_pytorch_computes_online_are_not_those_of_an_exported_model() -> None:
    with pytest.raises(ConfigError, match=r"leave out cache\.exported, or choose cached"):
        RunConfig(features="online", cache=CacheConfig(exported="exported/mine"))


def test_paths_are_kept_as_text_as_a_run_writes_them() -> None:
    config = RunConfig(
        data=DataConfig(root=Path("photos"), images=Path("images")),  # type: ignore[arg-type]
        encoder=EncoderConfig(weights=Path("resnet")),  # type: ignore[arg-type]
        cache=CacheConfig(dir=Path("c"), views=["full", "flip"]),  # type: ignore[arg-type]
        distillation=DistillationConfig(teachers=[Path("a")], epochs=1),  # type: ignore[list-item]
    )
    assert (config.data.root, config.data.images) == ("photos", "images")
    assert (config.encoder.weights, config.cache.dir) == ("resnet", "c")
    assert (config.cache.views, config.distillation.teachers) == (("full", "flip"), ["a"])
    with pytest.raises(ConfigError, match=r"cache\.views must be a list of views"):
        CacheConfig(views="full")  # type: ignore[arg-type]


@pytest.mark.parametrize("section", [DataConfig, SearchConfig, TrainingConfig])
def test_seeds_are_not_negative(section: type) -> None:
    with pytest.raises(ConfigError, match="seed must be at least 0"):
        section(seed=-1)
