"""Refusals: one line, without what was sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from showtell.serving.refusals import RefusedError, invalid, too_many_images
from showtell.serving.schemas import CaptionRequest


def refuse(values: object) -> RefusedError:
    with pytest.raises(ValidationError) as raised:
        CaptionRequest.model_validate(values)
    return invalid(raised.value)


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"images": []}, "images: List should have at least 1 item"),
        ({"images": ["a secret"], "beam_size": "secret"}, "beam_size: Input should be a valid integer"),
        (["secret"], "body: Input should be a valid dictionary"),
        ({"images": ["ab", "secret", "b"]}, "images.0: String should have at least 4 characters"),
        ({"images": ["a secret"], "x" * 100: 1}, f"{'x' * 40}: Extra inputs are not permitted"),
    ],
)
def test_the_place_and_the_reason_are_named(values: object, detail: str) -> None:
    refused = refuse(values)
    assert refused.status == 422
    assert refused.detail.startswith(detail)
    assert "secret" not in refused.detail
    assert "\n" not in refused.detail


def test_three_errors_are_enough() -> None:
    refused = refuse({"images": ["a"] * 50})
    assert refused.detail.count("; ") == 2


def test_headers_are_those_of_the_answer() -> None:
    assert (str(too_many_images(4)), too_many_images(4).status) == (
        "more than 4 photos; send several requests",
        422,
    )
    assert too_many_images(4).headers == {}
    assert RefusedError(503, "busy", {"Retry-After": "2"}).headers == {"Retry-After": "2"}
