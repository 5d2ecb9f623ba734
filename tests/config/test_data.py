"""The configuration of the data: one dataset, or a list of several."""

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
        ({"root": ["[a, b]"]}, "write {root: FOLDER"),
        ({"root": [{"root": "a", "wieght": 2}]}, "no wieght, only root, format, images, weight"),
        ({"root": [{"weight": 2}]}, "an entry without root"),
        ({"root": [{"root": 5}]}, "5 is not a dataset"),
        ({"root": [{"root": "a", "weight": 0}]}, "weight of a must be over 0"),
        ({"root": [{"root": "a", "weight": 101}]}, "at most 100"),
        ({"root": [{"root": "a", "weight": float("nan")}]}, "weight of a"),
        ({"root": [{"root": "a", "weight": "often"}]}, "weight of a"),
        ({"root": [{"root": "a", "format": "cocoo"}]}, "did you mean coco"),
        ({"root": [{"root": "a", "images": 5}]}, "name a folder"),
        ({"root": ["a"], "format": "coco"}, "give format and images there"),
        ({"root": ["a"], "images": "b"}, "give format and images there"),
        ({"root": "a", "model_captions": 1.5}, "model_captions"),
    ],
)
def test_mistakes_are_named_in_a_line(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(**settings)
    assert named in str(caught.value)
    assert "data." in str(caught.value)
    assert "\n" not in str(caught.value)
