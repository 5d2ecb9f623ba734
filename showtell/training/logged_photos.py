"""Photos of the validation split with the captions of an epoch, for loggers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from showtell.data.images import decode_image
from showtell.data.records import CaptionedImage
from showtell.errors import ImageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE: Final = 320
"""Pixels of the longer side of a photo in a log."""
_COLUMNS: Final = 4


@dataclass(frozen=True)
class CaptionedPhoto:
    """A photo and the caption that a model gave it.

    Attributes:
        name: of the image.
        image: RGB, small.
        text: the caption.
    """

    name: str
    image: Image.Image
    text: str


def chosen_photos(
    images: Sequence[CaptionedImage], captions: Sequence[str], count: int
) -> list[CaptionedPhoto]:
    """Photos spread evenly over the images, the same in every epoch, without those that cannot be decoded.

    Args:
        images: the images that were captioned.
        captions: one for each.
        count: photos, at most.
    """
    total = min(len(images), len(captions))
    indices = dict.fromkeys(number * total // count for number in range(count)) if total else {}
    photos = [(images[index], _thumbnail(images[index].path), captions[index]) for index in indices]
    return [CaptionedPhoto(image.image_id, photo, text) for image, photo, text in photos if photo]


@lru_cache(maxsize=64)
def _thumbnail(path: Path) -> Image.Image | None:
    try:
        photo = decode_image(path, size_hint=_SIDE)
    except ImageError:
        return None
    photo.thumbnail((_SIDE, _SIDE))
    return photo


def photo_figure(photos: Sequence[CaptionedPhoto]) -> Figure:
    """A figure of the photos in rows of four, each under its caption."""
    from matplotlib.figure import Figure

    rows = -(-len(photos) // _COLUMNS)
    figure = Figure(figsize=(3 * _COLUMNS, 3.2 * rows), layout="constrained")
    for number, photo in enumerate(photos, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, number)
        axes.imshow(photo.image)
        axes.set_title(textwrap.fill(photo.text, 34) or "(empty)", fontsize=9, parse_math=False)
        axes.axis("off")
    return figure
