"""A photo on its way through the captioner, with a small copy kept for galleries and attention images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

if TYPE_CHECKING:
    from showtell.data.transforms import ImageTransform

PREVIEW_SIDE: Final = 400
"""Longest side of a preview in pixels: a card of a gallery at twice the usual pixel density."""


@dataclass
class Photo:
    """A photo.

    Attributes:
        name: what it is called in the output.
        file: what to decode.
        preview: a small JPEG file of it, upright and in its own proportions; set by `open_with_preview`.
    """

    name: str
    file: str | Path
    preview: bytes | None = None

    def open_with_preview(self, transform: ImageTransform) -> Image.Image:
        """Decode it once for both: the preview, and the encoder, which sees the same pixels as without.

        Raises:
            ImageError: it cannot be decoded.
        """
        image = transform.decode(self.file)
        small = image.copy()
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=80, optimize=True)
        self.preview = stream.getvalue()
        return image
