"""Attention maps in the form that the pages of showtell paint."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def attention_bytes(attention: npt.NDArray[np.float32]) -> bytes:
    """One byte per cell (T, rows, columns): 255 is the word's strongest, or three times uniform attention."""
    cells = attention.shape[1] * attention.shape[2]
    full = np.maximum(attention.max(axis=(1, 2), keepdims=True), 3 / cells)
    return np.asarray((255 * attention / full).round().astype(np.uint8)).tobytes()
