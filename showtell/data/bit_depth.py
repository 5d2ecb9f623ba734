"""Values of more than 8 bit, as of scanners, microscopes, depth cameras and raw sensors, to 0..255."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

_SENSOR_BITS: Final = (10, 12)
_WHITE_TAGS: Final = (50717, 341, 281)
"""TIFF tags that hold the value of white: WhiteLevel (DNG), SMaxSampleValue, MaxSampleValue."""
_NEAR_WHITE: Final = 0.75  # of the white of a sensor: some pixel of a photo is brighter


def white_level(image: Image.Image) -> int | None:
    """The value of white that a TIFF's metadata names, or None: 4095 for values of 12 bit."""
    tags = getattr(image, "tag_v2", {})
    for tag in _WHITE_TAGS:
        value = tags.get(tag)
        value = value[0] if isinstance(value, tuple) and value else value
        if isinstance(value, int | float) and 0xFF < value <= 0xFFFF:
            return int(value)
    return None


def white_of_array(image: Image.Image, form: str | None) -> int | None:
    """The value of white of a PIL image made from an array of 32-bit integers: 255 if none is larger.

    Args:
        image: a decoded image.
        form: the format of the file that it was read from (`Image.format`), or None.
    """
    if image.mode != "I" or form is not None:
        return None
    _, brightest = image.getextrema()
    return 255 if brightest <= 255 else None  # type: ignore[operator]


def grey_to_8_bit(values: npt.NDArray[Any], white: int | None = None) -> npt.NDArray[np.uint8]:
    """Scale grey values (H, W) of more than 8 bit to 0..255.

    16-bit values keep their high byte, as Pillow does for 16-bit colours, unless they hold 10 or 12 bit of a
    sensor: the metadata says so, or the brightest value is near the white of 10 or 12 bit (and the values are
    not 8-bit ones that were widened). Other integers and floating point numbers have no agreed white: they
    are stretched from the darkest to the brightest.

    Args:
        values: (H, W) of any numeric type.
        white: the value of white, if it is known.
    """
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 0xFFFF:
        return _scaled(values, white or _sensor_white(values))
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) * (255 / max(high - low, 1e-12))).clip(0, 255).astype(np.uint8)


def is_16_bit_colour(image: Image.Image) -> bool:
    """Whether a file that is not decoded yet holds colours of 16 bit, of which 8 will be decoded."""
    tiles = getattr(image, "tile", None) or []
    return image.mode == "RGB" and any(";16" in str(tile[-1]) for tile in tiles)


def is_nearly_black(image: Image.Image) -> bool:
    """Whether no high byte is more than one of 12 bit has."""
    return max(high for _, high in image.getextrema()) <= 0xF  # type: ignore[misc]


def restore_sensor_values(image: Image.Image, again: Image.Image) -> None:
    """Replace the high bytes of 10- or 12-bit colours, which are nearly black, by all that the file holds.

    Pillow decodes the high byte of 16-bit colours; read in the other byte order, it is the low byte.

    Args:
        image: a decoded image (RGB) of 16-bit colours; changed in place if it holds 10 or 12 bit.
        again: the same file, opened and not decoded.
    """
    white = white_level(again)
    again.tile = [(*tile[:-1], _other_byte_order(tile[-1])) for tile in again.tile]  # type: ignore[attr-defined]
    again.load()
    values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)
    white = white or _sensor_white(values)
    if white is not None:
        image.frombytes(_scaled(values, white).tobytes())


def _other_byte_order(arguments: Any) -> Any:
    if isinstance(arguments, tuple):
        return (_other_byte_order(arguments[0]), *arguments[1:])
    little = arguments.endswith("L") or (arguments.endswith("N") and sys.byteorder == "little")
    return arguments[:-1] + ("B" if little else "L")


def _scaled(values: npt.NDArray[Any], white: int | None) -> npt.NDArray[np.uint8]:
    """Values of 16 bit by their high byte, others by their white."""
    if white is None:
        return (values >> 8).astype(np.uint8)
    return np.minimum(values.astype(np.uint32) * 255 // white, 255).astype(np.uint8)


def _sensor_white(values: npt.NDArray[Any]) -> int | None:
    """White of 10 or 12 bit, if the brightest value is near it; None for values of 16 bit."""
    brightest = int(values.max())
    for bits in _SENSOR_BITS:
        white = (1 << bits) - 1
        if _NEAR_WHITE * white <= brightest <= white:
            widened = not (values % 257).any() or not (values & 0xFF).any()
            return None if widened else white
    return None
