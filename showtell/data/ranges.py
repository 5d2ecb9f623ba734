"""Many ranges of integers at once, for arrays whose rows have parts of different lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def concatenate_ranges(begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All integers of the ranges `begin[i] .. end[i] - 1`, one range after another."""
    sizes = end - begin
    return np.arange(sizes.sum()) + np.repeat(begin - (np.cumsum(sizes) - sizes), sizes)
