"""The cost of decoding an image, estimated from its header without decoding anything.

Decoding an image costs anything between a millisecond and minutes. The estimate only decides which decoder
gets an image first; what it gets wrong is limited by the decoder (see `showtell.serving.image_decoder_pool`).
"""

from __future__ import annotations

import re
import struct
from typing import Final

UNKNOWN: Final = 3.0
"""Seconds of an image whose header has no size."""

_PER_BYTE: Final = 30e-9
_PER_PIXEL: Final = {"jpeg": 4e-9, "png": 52e-9, "webp": 30e-9, "gif": 22e-9, "bmp": 10e-9, "avif": 35e-9}
"""Seconds of processor time, as measured on a slow core with photos of scikit-image."""
_PER_PIXEL_AND_SCAN: Final = 1.6e-9
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_SEGMENTS: Final = 200
_ISPE: Final = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)


def estimate_decode_seconds(image: bytes) -> float:
    """Seconds of processor time that decoding should take.

    Args:
        image: the bytes of its file.
    """
    match image[:12]:
        case start if start.startswith(b"\xff\xd8"):
            return _jpeg(image)
        case start if start.startswith(b"\x89PNG"):
            width, height = _numbers(">II", image, 16)
            kind = "png"
        case start if start.startswith((b"GIF87a", b"GIF89a")):
            width, height = _numbers("<HH", image, 6)
            kind = "gif"
        case start if start.startswith(b"BM"):
            width, height = _numbers("<ii", image, 18)
            kind = "bmp"
        case start if start.startswith(b"RIFF") and start[8:] == b"WEBP":
            width, height = _webp_size(image)
            kind = "webp"
        case start if start[4:8] == b"ftyp":
            width, height = _largest_of_boxes(image)
            kind = "avif"
        case _:
            return UNKNOWN
    pixels = abs(width * height)
    packed = 0 if kind == "bmp" else len(image)
    return pixels * _PER_PIXEL[kind] + packed * _PER_BYTE if pixels else UNKNOWN


def _numbers(form: str, image: bytes, index: int) -> tuple[int, int]:
    """Width and height at an index; 0 if the file ends before."""
    if len(image) < index + struct.calcsize(form):
        return 0, 0
    width, height = struct.unpack_from(form, image, index)
    return width, height


def _webp_size(image: bytes) -> tuple[int, int]:
    match image[12:16]:
        case b"VP8 ":
            width, height = _numbers("<HH", image, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits, _ = _numbers("<IB", image, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X" if len(image) >= 30:
            return 1 + int.from_bytes(image[24:27], "little"), 1 + int.from_bytes(image[27:30], "little")
    return 0, 0


def _largest_of_boxes(image: bytes) -> tuple[int, int]:
    """Of AVIF and HEIF: the size of the whole image, not of its tiles or thumbnails."""
    sizes = [struct.unpack(">II", box[1]) for box in _ISPE.finditer(image, 0, 2**16)]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return width, height


def _jpeg(image: bytes) -> float:
    """The scans of a progressive JPEG each go over all of its pixels."""
    index = 2
    for _ in range(_SEGMENTS):
        if len(image) < index + 9 or image[index] != 0xFF:
            break
        marker, length = image[index + 1], int.from_bytes(image[index + 2 : index + 4], "big")
        if marker in _FRAMES:
            height, width = _numbers(">HH", image, index + 5)
            # A sequential one ends at its end marker: videos and previews may follow it.
            end = image.find(b"\xff\xd9", index) if marker in _SEQUENTIAL else -1
            scans = image.count(b"\xff\xda", index, end if end > 0 else len(image))
            per_pixel = _PER_PIXEL["jpeg"] + _PER_PIXEL_AND_SCAN * max(0, scans - 1)
            return width * height * per_pixel + len(image) * _PER_BYTE
        index += 1 if marker == 0xFF else 2 + length
    return UNKNOWN
