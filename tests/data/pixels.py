"""Comparing the pixels of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from showtell.data.images import ImageSource, decode_image


def pixels_of(source: ImageSource) -> npt.NDArray[np.int64]:
    """The pixels of a decoded image (H, W, 3)."""
    return np.asarray(decode_image(source)).astype(np.int64)


def largest_difference(one: npt.ArrayLike, other: npt.ArrayLike) -> int:
    """The most that a value differs."""
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


def mean_difference(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """How much a value differs, in the mean."""
    return float(np.abs(np.asarray(one).astype(float) - np.asarray(other).astype(float)).mean())
