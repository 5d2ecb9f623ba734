"""Settings of search and of the service: what is refused, and what is allowed at the limits."""

from __future__ import annotations

from typing import Any

import pytest

from showtell.config import SearchConfig, ServingConfig
from showtell.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "search.beam_size must be at least 1"),
        ({"max_length": 0}, "search.max_length must be at least 1"),
        ({"length_penalty": -1}, "search.length_penalty must be 0 to 10"),
        ({"length_penalty": 1000.0}, "search.length_penalty must be 0 to 10"),
        ({"num_captions": 3, "diversity": 1e39}, "search.diversity must be 0 to 100"),
        ({"num_captions": 3, "diversity": float("inf")}, "search.diversity must be 0 to 100"),
        ({"sample": True, "temperature": 1e-40}, "search.temperature must be 0.001 to 1000"),
        ({"sample": True, "temperature": float("inf")}, "search.temperature must be 0.001 to 1000"),
        ({"top_k": -1}, "search.top_k must be at least 0"),
        ({"min_length": 21}, "search.min_length must be at most search.max_length"),
        ({"block_ngram": 1}, "no word could come twice"),
        ({"top_p": 0}, "search.top_p must be over 0"),
        ({"top_p": 1.1}, "at most 1"),
        ({"temperature": 0}, "for greedy search leave out search.sample"),
        ({"temperature": float("nan")}, "search.temperature"),
        ({"num_captions": 4}, "search.num_captions must be at most search.beam_size"),
        ({"sample": True, "diversity": 0.5}, "search.diversity is for beam search"),
        ({"draws": 5}, "search.draws is for sampling"),
        ({"sample": True, "draws": 2, "num_captions": 3}, "search.draws must be at least"),
    ],
)
def test_searches_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchConfig(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_captions": 3},
        {"num_captions": 9, "diversity": 0.5},
        {"num_captions": 9, "sample": True},
        {"num_captions": 3, "sample": True, "draws": 3},
        {"min_length": 20, "block_ngram": 0, "length_penalty": 0},
        {"length_penalty": 10, "num_captions": 3, "diversity": 100},
        {"sample": True, "temperature": 0.001},
        {"sample": True, "temperature": 1000},
    ],
)
def test_searches_at_the_limits(settings: dict[str, Any]) -> None:
    SearchConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_images": 0}, "serving.max_images must be at least 1"),
        ({"batch_size": 0}, "serving.batch_size must be at least 1"),
        ({"time_limit": 0}, "serving.time_limit must be over 0"),
        ({"decode_seconds": float("nan")}, "serving.decode_seconds must be over 0"),
        ({"max_wait": -0.1}, "serving.max_wait must be at least 0"),
        ({"queue_length": 15}, "serving.queue_length must be at least serving.max_images"),
        ({"max_request_bytes": 26 * 2**20}, "as base64: 4/3 of it"),
        ({"upload_memory": 60 * 2**20}, "serving.upload_memory must be at least serving.max_request_bytes"),
    ],
)
def test_services_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ServingConfig(**settings)
    assert message in str(caught.value)


def test_a_photo_of_the_largest_size_fits_into_a_request_as_base64() -> None:
    ServingConfig(max_bytes=3 * 2**20, max_request_bytes=4 * 2**20, upload_memory=4 * 2**20)
    with pytest.raises(ConfigError, match="base64"):
        ServingConfig(max_bytes=3 * 2**20, max_request_bytes=4 * 2**20 - 1)
