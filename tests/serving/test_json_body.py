"""JSON bodies: base64 in all of its forms, and errors that cost nothing."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.serving.json_body import decode_base64, read_caption_request
from showtell.serving.refusals import RefusedError


def refusal(content: bytes, max_images: int = 4) -> str:
    with pytest.raises(RefusedError) as caught:
        read_caption_request(content, max_images)
    assert caught.value.status == 422
    return caught.value.detail


@settings(max_examples=40)
@given(
    st.binary(), st.integers(1, 80), st.sampled_from(("\n", "\r\n", " ", "\t")), st.booleans(), st.booleans()
)
def test_base64_is_read_in_every_form(
    content: bytes, width: int, space: str, url_safe: bool, padded: bool
) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(content).decode()
    text = text if padded else text.rstrip("=")
    wrapped = space.join(text[place : place + width] for place in range(0, len(text), width)) + space
    assert decode_base64(wrapped, 0) == content
    assert decode_base64(f"data:image/png;base64,{wrapped}", 0) == content


@settings(max_examples=40)
@given(st.binary(min_size=1))
def test_a_data_url_may_be_percent_encoded(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    quoted = text.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
    assert decode_base64(f"DATA:;BASE64,{quoted}", 0) == content


@pytest.mark.parametrize(
    "text", ["abcde", "ab=cd===", "ab.d", "a%2Bb", "Äbcd", "\ud800bcd", "abc\0", "data:x,abcd"]
)
def test_what_is_not_base64_names_the_image(text: str) -> None:
    with pytest.raises(RefusedError, match=r"^images\.3: "):
        decode_base64(text, 3)


@pytest.mark.parametrize(
    "text", ["https://example.com/a.jpg", " HTTP://x/a.png", "s3://bucket/a", "file:///a.jpg"]
)
def test_an_address_is_not_fetched(text: str) -> None:
    with pytest.raises(RefusedError, match=r"^images\.3: an address, and the service fetches none; send"):
        decode_base64(text, 3)


FLOODS = {
    "keys": (
        b'{"images":["////"],' + b",".join(b'"k%d":1' % n for n in range(300_000)) + b"}",
        "k0: Extra inputs",
    ),
    "values": (b'{"images":[' + b"1," * 1_000_000 + b"1]}", "more than 4 photos"),
    "texts": (b'{"images":[' + b'"////",' * 300_000 + b'"////"]}', "more than 4 photos"),
    "lists": (
        b'{"images":["////"],"beam_size":[' + b"[1]," * 500_000 + b"1]}",
        "beam_size: Input should be a valid",
    ),
    "top": (b"[" + b"{}," * 500_000 + b"{}]", "body: Input should be an object"),
    "one key": (b'{"images":["////"],' + b",".join([b'"beam_size":1'] * 200_000) + b"}", "more values than"),
    "broken": (b'{"images":["////"], 1,' + b"1," * 500_000, "body: Invalid JSON"),
    "depth": (b"[" * 3_000_000, "body: Invalid JSON"),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_millions_of_errors_cost_nothing(kind: str) -> None:
    content, detail = FLOODS[kind]
    tracemalloc.start()
    try:
        assert detail in (answered := refusal(content))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert answered.count(";") <= 2
    assert len(answered) < 400


def test_as_many_images_as_are_allowed_pass_and_one_more_is_named() -> None:
    images = ["data:image/png;base64,////"] * 16
    body = {"images": images, "beam_size": 2, "num_captions": 1, "attention": True}
    assert len(read_caption_request(json.dumps(body, indent=2).encode(), 16).images) == 16
    body["other"] = list(range(500))
    assert "other: Extra inputs" in refusal(json.dumps(body).encode(), 16)
