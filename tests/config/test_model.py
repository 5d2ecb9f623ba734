"""Settings of the encoder, its features and the decoder: what is refused."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from showtell.config import CacheConfig, DecoderConfig, EncoderConfig, View
from showtell.data.transforms import VIEWS
from showtell.errors import ConfigError


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        (EncoderConfig, {"image_size": 31}, "encoder.image_size must be at least 32"),
        (CacheConfig, {"views": ()}, "cache.views must name at least one view"),
        (CacheConfig, {"views": ("full", "flip", "full")}, "cache.views must not repeat a view"),
        (DecoderConfig, {"kind": "topdwn"}, "'topdwn' is none of topdown, attention, pooled; did you mean"),
        (DecoderConfig, {"embedding_dim": 0}, "decoder.embedding_dim must be at least 1"),
        (DecoderConfig, {"attention_heads": 0}, "decoder.attention_heads must be at least 1"),
        (DecoderConfig, {"attention_dim": 100, "attention_heads": 3}, "must be a multiple of"),
        (DecoderConfig, {"dropout": 1}, "decoder.dropout must be at least 0 and less than 1"),
        (DecoderConfig, {"dropout": float("nan")}, "decoder.dropout"),
    ],
)
def test_values_that_are_refused(section: type, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        section(**settings)
    assert message in str(caught.value)


def test_any_view_may_be_cached() -> None:
    assert CacheConfig(views=VIEWS).views == get_args(View)
