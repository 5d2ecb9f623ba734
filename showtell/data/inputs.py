"""Images as Python holds them: paths, bytes, PIL images, NumPy arrays and torch tensors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from showtell.data.images import ImageSource, decode_image
from showtell.data.urls import NOT_DOWNLOADED, is_url
from showtell.errors import ImageError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    ImageInput: TypeAlias = str | Path | bytes | Image.Image | npt.NDArray[Any] | Tensor
    """A path, the bytes of a file, a PIL image, an array (H, W, 3 | 4 | 1) or (H, W), or a tensor of such a
    shape or (3, H, W)."""

_CHANNELS: Final = (1, 3, 4)
_THUMBNAIL: Final = 400
"""Longest side of a thumbnail in pixels."""


def is_image(value: object) -> bool:
    """Whether a value stands for one image, not for a list of images; an open file does, and is refused."""
    return (
        isinstance(value, str | bytes | bytearray | memoryview | os.PathLike | Image.Image | np.ndarray)
        or is_tensor(value)
        or _is_open_file(value)
    )


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_open_file(value: object) -> bool:
    return callable(getattr(value, "read", None))


def to_image_source(value: object, name: str = "the image") -> ImageSource:
    """An image as a path, bytes or a PIL image, which `decode_image` takes.

    Args:
        value: the image; see `ImageInput`. Arrays and tensors are uint8, or floating point numbers of 0 to 1.
        name: what it is called in errors.

    Raises:
        UsageError: it is a URL, or of a type or shape that is none of an image.
        ImageError: the values of an array are none of an image.
    """
    if isinstance(value, str):
        if is_url(value):
            raise UsageError(f"{value[:80]}: {NOT_DOWNLOADED} or its bytes")
        return value
    if isinstance(value, os.PathLike):
        return Path(os.fspath(value))
    if isinstance(value, bytes | Image.Image):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if is_tensor(value):
        return _from_tensor(value, name)
    if isinstance(value, np.ndarray):
        return _from_array(value, name)
    if _is_open_file(value):
        raise UsageError(f"{name}: is an open file; give its path, or its bytes: file.read()")
    raise UsageError(
        f"{name}: is of type {type(value).__name__}; give a path, bytes, a PIL image, an array or a tensor"
    )


def thumbnail(source: ImageSource) -> Image.Image:
    """A small RGB copy of an image, upright, in its own proportions.

    Raises:
        ImageError: it cannot be decoded.
    """
    image = decode_image(source, size_hint=_THUMBNAIL)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return image


def _from_tensor(tensor: Any, name: str) -> Image.Image:
    """An image of a tensor (C, H, W), (H, W, C) or (H, W), on any device."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bf16
    if tensor.dim() == 3 and tensor.shape[0] in _CHANNELS:
        tensor = tensor.permute(1, 2, 0)
    return _from_array(tensor.numpy(), name)


def _from_array(array: npt.NDArray[Any], name: str) -> Image.Image:
    """An image of an array (H, W, C) or (H, W)."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in _CHANNELS):
        raise UsageError(f"{name}: has the shape {array.shape}; {_advice(array.shape)}")
    if array.size == 0:
        raise ImageError(name, "it has no pixels")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # also if they are NaN
            reason = f"its values go from {low:.3g} to {high:.3g}; give 0 to 1 (not normalized), or uint8"
            raise ImageError(name, reason)
        array = np.rint(array * np.float32(255)).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UsageError(
            f"{name}: has values of type {array.dtype}; give uint8 (0 to 255), or floats of 0 to 1"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return "several images are given as a list: list(images)"
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return "give (H, W, C): array.transpose(1, 2, 0)"
    return "give (H, W, 3), (H, W, 4), (H, W, 1) or (H, W)"
