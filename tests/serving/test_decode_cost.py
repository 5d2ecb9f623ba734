"""The estimate from headers: right about ordinary photos and about large ones, and it reads any bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.serving.decode_cost import UNKNOWN, estimate_decode_seconds
from showtell.serving.image_decoder_pool import QUICK_SECONDS
from tests.serving.hostile import gif_of_blocks, jpeg_of_segments, png, png_of_chunks, progressive_jpeg

PHOTOS = {
    "JPEG": (6000, 4000),
    "PNG": (1600, 1200),
    "WEBP": (2000, 1500),
    "GIF": (2000, 1500),
    "BMP": (2000, 1500),
    "AVIF": (1600, 1200),
}


def encoded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "teal").save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", PHOTOS)
def test_ordinary_photos_are_quick_and_larger_ones_cost_more(kind: str) -> None:
    width, height = PHOTOS[kind]
    small, large = encoded(kind, (64, 48)), encoded(kind, (width, height))
    assert 0 < estimate_decode_seconds(small) < estimate_decode_seconds(large) <= QUICK_SECONDS


def test_webp_without_loss_and_with_an_alpha_channel() -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (640, 480), (1, 2, 3, 4)).save(stream, "WEBP")
    estimates = {
        round(estimate_decode_seconds(image), 3)
        for image in (
            stream.getvalue(),
            encoded("WEBP", (640, 480), lossless=True),
            encoded("WEBP", (640, 480)),
        )
    }
    assert estimates == {0.009}


def test_a_progressive_photo_is_quick_and_one_of_many_scans_is_not() -> None:
    assert estimate_decode_seconds(encoded("JPEG", (3000, 2000), progressive=True)) <= QUICK_SECONDS
    assert estimate_decode_seconds(progressive_jpeg(1024, 8)) < QUICK_SECONDS
    assert estimate_decode_seconds(progressive_jpeg(1024, 200)) > QUICK_SECONDS
    assert estimate_decode_seconds(progressive_jpeg(1024, 200, first=b"\xff\xfe\0\4\xff\xd9")) > QUICK_SECONDS


def test_a_photo_with_a_video_behind_it_is_quick() -> None:
    assert estimate_decode_seconds(encoded("JPEG", (4000, 3000)) + b"\xff\xda" * 5000) <= QUICK_SECONDS


@pytest.mark.parametrize(
    "image",
    [
        png(1, 6_000_000, depth=8, colours=0),
        png_of_chunks(600_000),
        gif_of_blocks(2_000_000),
        jpeg_of_segments(1000),
        b"II*\0" + bytes(100),
        b"",
        b"\xff\xd8",
    ],
    ids=["pixels", "chunks", "blocks", "segments", "tiff", "empty", "cut"],
)
def test_what_is_large_or_unknown_is_not_quick(image: bytes) -> None:
    assert estimate_decode_seconds(image) > QUICK_SECONDS


HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF....WEBPVP8X", b"....ftypavif", b"")


@settings(max_examples=40)
@given(st.sampled_from(HEADS), st.binary(max_size=80))
def test_any_bytes_have_an_estimate(head: bytes, rest: bytes) -> None:
    assert 0 <= estimate_decode_seconds(head + rest) < 1e12
    assert UNKNOWN > QUICK_SECONDS
