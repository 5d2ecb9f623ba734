"""Settings of the data: one dataset or several, and values that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from showtell.config import DataConfig, DatasetConfig
from showtell.errors import ConfigError


def test_datasets_of_each_way_to_name_them() -> None:
    assert DataConfig().datasets == []
    assert DataConfig(root="a", format="coco", images="b").datasets == [DatasetConfig("a", "coco", "b")]
    several = DataConfig(root=["a", {"root": "b", "weight": 2}, DatasetConfig("c", "csv")])
    assert several.datasets == [
        DatasetConfig("a"),
        DatasetConfig("b", weight=2),
        DatasetConfig("c", "csv"),
    ]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"root": []}, "empty list"),
        ({"root": ""}, "root is not a dataset"),
        ({"root": "{root: a, wieght: 2}"}, "write {root: FOLDER"),
        ({"root": {"root": "a"}}, "is neither text nor a list"),
        ({"root": [5]}, "5 is not a dataset; write {root: FOLDER"),
        ({"root": [None]}, "None is not a dataset"),
        ({"root": ["[a, b]"]}, "write {root: FOLDER"),
        ({"root": [{"root": "a", "wieght": 2}]}, "no wieght, only root, format, images, weight"),
        ({"root": [{"weight": 2}]}, "an entry without root"),
        ({"root": [{"root": 5}]}, "5 is not a dataset"),
        ({"root": [{"root": "a", "weight": 0}]}, "weight of a must be over 0"),
        ({"root": [{"root": "a", "weight": 101}]}, "at most 100"),
        ({"root": [{"root": "a", "weight": float("nan")}]}, "weight of a"),
        ({"root": [{"root": "a", "weight": "often"}]}, "weight of a"),
        ({"root": [{"root": "a", "format": "cocoo"}]}, "the format of a: 'cocoo' is none of"),
        ({"root": [{"root": "a", "images": 5}]}, "name a folder"),
        ({"root": ["a"], "format": "coco"}, "give format and images there"),
        ({"root": ["a"], "images": "b"}, "give format and images there"),
        ({"format": "cocoo"}, "did you mean coco"),
        ({"model_captions": 1.5}, "model_captions"),
        ({"val_fraction": 1}, "val_fraction must be at least 0 and less than 1"),
        ({"test_fraction": -0.1}, "test_fraction"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "val_fraction + data.test_fraction must be < 1"),
        ({"tuning_fraction": 0}, "tuning_fraction"),
        ({"min_count": 0}, "min_count must be at least 1, or auto"),
        ({"max_caption_length": 0}, "max_caption_length"),
        ({"num_scenes": 19}, "num_scenes must be at least 20"),
    ],
)
def test_mistakes_are_named_in_a_line(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(**settings)
    assert named in str(caught.value)
    assert "data." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"val_fraction": 0, "test_fraction": 0},
        {"model_captions": 0},
        {"tuning_fraction": 1},
        {"min_count": 1, "max_caption_length": 1},
        {"root": [{"root": "a", "weight": 100}]},
    ],
)
def test_values_at_the_limits_are_taken(settings: dict[str, Any]) -> None:
    assert {name: getattr(DataConfig(**settings), name) for name in settings} == settings
