"""A whole run: its sections, and values that concern several of them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import pytest

from showtell.config import SECTIONS, RunConfig, SearchConfig
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
