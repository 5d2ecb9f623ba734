"""Where the tensors of a dataset's images come from while training online."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Final

import numpy as np
import torch
from torch import Tensor

from showtell.data.decode_ahead import decode_ahead
from showtell.data.preprocess import normalize
from showtell.data.records import CaptionedImage
from showtell.data.transforms import ImageTransform, random_view, resize_image, to_pixels
from showtell.errors import DataError, ImageError

SKIP_PHOTOS_HINT: Final = "replace it, or leave such photos out and count them with --skip-bad"
"""Advice for a photo that cannot be decoded, for messages."""


def undecodable(images: Sequence[CaptionedImage], transform: ImageTransform) -> list[ImageError]:
    """Decode each image once, in threads, and return why those failed that cannot be decoded."""
    with closing(decode_ahead((image.path for image in images), transform.pixels)) as decoded:
        return [item.error for item in decoded if item.error is not None]


class OnlineImages:
    """Pixels for the classic recipe: random crop and flip each time, then the encoder.

    An image that cannot be decoded raises `DataError`, one line that names the way out.

    Args:
        transform: of the encoder.
    """

    def __init__(self, transform: ImageTransform) -> None:
        self.transform = transform

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        """(3, H, W), normalised; a random view by the seed `draw`, or the whole image without one."""
        try:
            decoded = self.transform.decode(image.path)
        except ImageError as error:
            raise DataError(f"{error}; {SKIP_PHOTOS_HINT}") from error
        size = self.transform.size
        if draw is None:
            view = resize_image(decoded, size)
        else:
            view = random_view(decoded, size, np.random.default_rng(draw).random(5).tolist())
        pixels = torch.from_numpy(to_pixels(view))[None]
        return normalize(pixels, self.transform.mean, self.transform.std)[0]
