"""Values of more than 8 bit become 0..255 by what they hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.data.bit_depth import grey_to_8_bit, white_level
from tests.bad_images import HEIGHT, WIDTH, grey_16bit, png_bytes
from tests.data.pixels import pixels_of

Values = npt.NDArray[np.generic]


def deep_png(values: Values) -> bytes:
    """A PNG of 16-bit grey (H, W) or colour (H, W, 3)."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_bytes(values.shape[1], values.shape[0], 16, 2 if values.ndim == 3 else 0, rows)


def deep_tiff(values: Values, **tags: int) -> bytes:
    """A TIFF of 16-bit values; tags by their numbers (`t50717=4095`)."""
    stream = io.BytesIO()
    tifffile.imwrite(
        stream, values, extratags=[(int(tag[1:]), "H", 1, value, True) for tag, value in tags.items()]
    )
    return stream.getvalue()


def ramp(white: int, colours: bool) -> Values:
    """From black to white, left to right: (H, W), or (H, W, 3)."""
    grey = np.tile(np.linspace(0, white, WIDTH).round().astype(np.uint16), (HEIGHT, 1))
    return np.stack([grey, grey // 2, grey[:, ::-1]], axis=2) if colours else grey


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tiff", "grey16.pgm"])
def test_16_bit_grey_is_scaled_not_clipped(odd: dict[str, Path], name: str) -> None:
    expected = np.repeat((grey_16bit() / 0xFFFF * 255)[..., None], 3, axis=2)
    assert np.abs(pixels_of(odd[name]) - expected).max() <= 1


@pytest.mark.parametrize("encode", [deep_png, deep_tiff])
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_values_of_sensors_are_scaled_by_what_they_hold(
    encode: Callable[[Values], bytes], colours: bool, white: int
) -> None:
    values = ramp(white, colours)
    expected = values / white * 255  # type: ignore[operator]
    shown = pixels_of(encode(values))
    assert np.abs(shown - (expected if colours else expected[..., None])).max() <= 1


def test_the_white_of_the_metadata_counts() -> None:
    values = ramp(2000, colours=False)
    assert pixels_of(deep_tiff(values, t50717=4095)).max() == 2000 * 255 // 4095
    assert pixels_of(deep_tiff(values, t341=16383)).max() == 2000 * 255 // 16383
    assert pixels_of(deep_tiff(values)).max() == 2000 >> 8


@pytest.mark.parametrize(
    ("tags", "white"),
    [
        ({}, None),
        ({"t281": 4095}, 4095),
        ({"t50717": 1023, "t281": 4095}, 1023),  # the surest tag first
        ({"t50717": 255, "t281": 4095}, 4095),  # white of 8 bit is no white of 16
    ],
)
def test_tags_of_white(tags: dict[str, int], white: int | None) -> None:
    with Image.open(io.BytesIO(deep_tiff(ramp(2000, colours=False), **tags))) as image:
        assert white_level(image) == white


@pytest.mark.parametrize("tag", ["t50717", "t281", "t341"])
def test_the_white_of_the_metadata_counts_in_a_pil_image_too(tag: str) -> None:
    content = deep_tiff(ramp(2000, colours=False), **{tag: 4095})
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(pixels_of(image), pixels_of(content))
        np.testing.assert_array_equal(pixels_of(image), pixels_of(content))  # now it is loaded


@given(st.lists(st.integers(0, 255), min_size=1, max_size=9))
def test_arrays_of_8_bit_values_in_integers_of_32_bit_stay(values: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.int32))
    assert pixels_of(image)[0, :, 0].tolist() == values
    assert pixels_of(image.copy())[0, :, 0].tolist() == values


@pytest.mark.parametrize("step", [256, 257])
@pytest.mark.parametrize("brightest", [3, 15])
def test_8_bit_values_in_16_bits_stay_dark(step: int, brightest: int) -> None:
    values = np.tile(np.arange(brightest + 1, dtype=np.uint16) * step, (4, 1))
    assert pixels_of(deep_png(values)).max() == brightest


@settings(max_examples=30)
@given(
    st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)).filter(
        lambda pair: not any(0.75 * white <= max(pair) <= white for white in (1023, 4095))
    )
)
def test_depth_maps_and_photos_of_16_bit_keep_their_high_byte(pair: tuple[int, int]) -> None:
    values = np.array([pair], np.uint16)
    np.testing.assert_array_equal(pixels_of(deep_png(values))[..., 0], values >> 8)


def test_floats_are_stretched_from_the_darkest_to_the_brightest(odd: dict[str, Path]) -> None:
    expected = np.repeat((grey_16bit() / 0xFFFF * 255)[..., None], 3, axis=2)
    assert np.abs(pixels_of(odd["float.tiff"]) - expected).max() <= 0.51
    assert pixels_of(Image.new("F", (3, 2), 7.0)).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[np.nan, 0.0], [1.0, 2.0]], np.float32), [[0, 0], [128, 255]]),
        (np.array([[np.inf, -np.inf], [-1.0, 1.0]], np.float32), [[128, 128], [0, 255]]),
        (np.array([[-100, 100]], np.int32), [[0, 255]]),
        (np.array([[70_000, 140_000]], np.int32), [[0, 255]]),
        (np.array([[7.0, 7.0]]), [[0, 0]]),
    ],
)
def test_other_numbers_have_no_agreed_white(values: Values, expected: list[list[int]]) -> None:
    assert grey_to_8_bit(values).tolist() == expected
