"""Where the tensors of a dataset's images come from while training online."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from showtell.data.images import ImageTransform, random_view, resize_image, to_pixels
from showtell.data.records import CaptionedImage
from showtell.data.tensors import normalize


class OnlineImages:
    """Pixels for the classic recipe: random crop and flip each time, then the encoder.

    Args:
        transform: of the encoder.
    """

    def __init__(self, transform: ImageTransform) -> None:
        self.transform = transform

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        """(3, H, W), normalised; a random view by the seed `draw`, or the whole picture without one."""
        decoded = self.transform.decode(image.path)
        size = self.transform.size
        if draw is None:
            view = resize_image(decoded, size)
        else:
            view = random_view(decoded, size, np.random.default_rng(draw).random(5).tolist())
        pixels = torch.from_numpy(to_pixels(view))[None]
        return normalize(pixels, self.transform.mean, self.transform.std)[0]
