"""A caption as HTML, for notebooks: the photo, the text, and the attention for each word."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from showtell.web.templates import load_template

_TILE = 96
"""Longest side in pixels of the small copy of the photo over each word."""
_DARKEST = 0.25
"""Brightness of a tile where the attention is zero, of 1."""


def caption_html(
    text: str,
    words: Sequence[str],
    *,
    image: Image.Image | None = None,
    attention: npt.NDArray[np.float32] | None = None,
    confidence: float | None = None,
    doubtful: bool = False,
) -> str:
    """A caption as HTML that needs no script and no other file; all text is escaped.

    Args:
        text: the caption.
        words: its tokens.
        image: a small RGB copy of the photo, or None.
        attention: (T, rows, columns), for each word, or None.
        confidence: probability that the caption is good, or None.
        doubtful: whether that is below the model's threshold.
    """
    tiles: list[tuple[str, str]] = []
    if image is not None and attention is not None:
        small = image.copy()
        small.thumbnail((_TILE, _TILE))
        tiles = [(word, _jpeg(_shade(small, heat))) for word, heat in zip(words, attention, strict=False)]
    return load_template("caption.html", "web").render(
        text=text,
        photo=None if image is None else _jpeg(image),
        width=None if image is None else image.width,
        tiles=tiles,
        confidence=confidence,
        doubtful=doubtful,
    )


def _shade(image: Image.Image, heat: npt.NDArray[Any]) -> Image.Image:
    """The image, darker where there is less attention (rows, columns)."""
    scaled = np.rint(255 * heat / max(float(heat.max()), 1e-12)).astype(np.uint8)
    mask = np.asarray(Image.fromarray(scaled).resize(image.size, Image.Resampling.BICUBIC), np.float32) / 255
    light = _DARKEST + (1 - _DARKEST) * mask[:, :, None]
    return Image.fromarray(np.rint(np.asarray(image, np.float32) * light).astype(np.uint8))


def _jpeg(image: Image.Image) -> str:
    """A data URI."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
