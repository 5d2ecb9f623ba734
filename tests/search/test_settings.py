"""`search_config`: settings by name become a `SearchConfig`, or an error of one line."""

from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np
import pytest

from showtell.config import SearchConfig
from showtell.errors import ConfigError, UsageError
from showtell.search.settings import SearchKeywords, search_config


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"beam_size": 1}, {"beam_size": 1}),
        ({"num_captions": 9}, {"num_captions": 9, "beam_size": 9}),
        ({"num_captions": 2, "beam_size": 6}, {"num_captions": 2, "beam_size": 6}),
        (
            {"num_captions": 4, "beam_size": 1, "diversity": 0.5},
            {"num_captions": 4, "beam_size": 1, "diversity": 0.5},
        ),
        ({"sample": True, "top_k": 5, "seed": 3}, {"sample": True, "top_k": 5, "seed": 3}),
        ({"temperature": 1.0, "top_p": 1.0}, {}),
        ({"length_penalty": 1}, {"length_penalty": 1.0}),
        (
            {"beam_size": np.int32(7), "length_penalty": np.float32(0.5)},
            {"beam_size": 7, "length_penalty": 0.5},
        ),
        ({"sample": np.True_}, {"sample": True}),
    ],
)
def test_settings_that_are_given_replace_the_defaults(given: dict[str, Any], changed: dict[str, Any]) -> None:
    config = search_config(given)
    assert config == SearchConfig(**changed)
    assert [type(value) for value in vars(config).values()] == list(get_type_hints(SearchConfig).values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beam_size": 2.0}, r"search\.beam_size is 2\.0; it takes a whole number"),
        ({"beam_size": np.True_}, "it takes a whole number"),
        ({"length_penalty": "1"}, "it takes a number"),
        ({"length_penalty": None}, "it takes a number"),
        ({"sample": 1}, "it takes True or False"),
        ({"diversity": 0.5}, r"diversity has no effect on one caption"),
        ({"seed": 3}, r"search\.seed has no effect without search\.sample"),
        ({"sample": True, "beam_size": 9}, r"search\.beam_size has no effect with search\.sample"),
        ({"sample": True, "diversity": 0.5, "num_captions": 2}, r"search\.diversity has no effect with"),
        ({"beam_size": 0}, "beam_size must be at least 1"),
    ],
)
def test_a_setting_that_cannot_be_taken_gets_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        search_config(given)
    assert "\n" not in str(raised.value)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"caption.*'beams'; did you mean 'beam_size'"):
        search_config({"beams": 3}, function="caption")
    with pytest.raises(UsageError, match="did you mean 'batch_size'"):
        search_config({"batchsize": 3}, others=["batch_size"])


def test_the_keywords_are_the_fields_of_the_configuration() -> None:
    assert get_type_hints(SearchKeywords) == {
        name: kind for name, kind in get_type_hints(SearchConfig).items() if name != "num_captions"
    }
