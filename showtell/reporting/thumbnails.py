"""Small copies of photos, of a few kilobytes, so that a page can hold a thousand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from showtell.data.images import decode_image

SIDE: Final = 224
"""Longest side in pixels, if the photo fits into `BYTES`."""
BYTES: Final = 5_000
"""Maximum number of bytes of a small copy."""
_STEPS: Final = ((SIDE, 70), (SIDE, 50), (SIDE, 30), (SIDE, 15), (160, 10), (96, 5), (32, 0))
"""(longest side, quality), the best first."""


def make_thumbnail(file: Path) -> bytes:
    """A photo as a small WebP file, upright, in its own proportions, of `BYTES` at most.

    Raises:
        ImageError: it cannot be decoded.
    """
    image = decode_image(file, size_hint=SIDE)
    data = b""
    for side, quality in _STEPS:
        image.thumbnail((side, side))
        stream = io.BytesIO()
        image.save(stream, "WEBP", quality=quality, method=4)
        data = stream.getvalue()
        if len(data) <= BYTES:
            break
    return data
