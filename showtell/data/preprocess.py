"""Images as tensors: what an encoder takes."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from showtell.data.images import ImageSource
from showtell.data.transforms import MEAN, STD, ImageTransform, random_view, resize_image, to_pixels


def normalize(
    pixels: Tensor, mean: Tensor | Sequence[float] = MEAN, std: Tensor | Sequence[float] = STD
) -> Tensor:
    """Turn pixels into what an encoder takes: `(pixels / 255 - mean) / std`.

    Args:
        pixels: (B, H, W, 3) uint8.
        mean: (3,) in units of 0..1.
        std: (3,) in units of 0..1.

    Returns:
        (B, 3, H, W) float32 in `torch.channels_last` memory format, on the device of `pixels`.
    """
    offset, scale = (_channels(tuple(map(float, value)), pixels.device) for value in (mean, std))
    values = pixels.sub(offset).div_(scale)  # (B, H, W, 3)
    return values.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@functools.cache
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Values (3,) in units of 0..1 as fp32 in units of 0..255 on `device`: copied to a GPU once."""
    return torch.tensor(values, dtype=torch.float32, device=device) * 255


def preprocess_image(
    source: ImageSource,
    *,
    size: int = 224,
    train: bool = False,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Turn one image into an encoder's square input: decode, resize, (train: random view), normalise.

    Args:
        source: a file, the bytes of one, or a PIL image.
        size: side of the square in pixels.
        train: take a random view (see `random_view`) instead of the whole image.
        mean: (3,) in units of 0..1; the default is that of the default encoder.
        std: (3,) in units of 0..1.
        generator: source of randomness for `train`; without it, torch's global one.

    Returns:
        (3, size, size) float32, contiguous.

    Raises:
        ImageError: the image cannot be decoded (see `decode_image`).
    """
    image = ImageTransform(size, mean, std).decode(source)
    if train:
        view = random_view(image, size, torch.rand(5, generator=generator).tolist())
    else:
        view = resize_image(image, size)
    return normalize(torch.from_numpy(to_pixels(view))[None], mean, std)[0].contiguous()
