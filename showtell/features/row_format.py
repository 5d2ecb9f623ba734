"""How the features of an image are stored: as numbers of 16 bits, or in 8 bits, which is half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from showtell.config import FeatureType

if TYPE_CHECKING:  # readers of rows do without
    import torch

Record = npt.NDArray[Any]
"""Rows, or one, as they lie in the file."""

_LEVELS: Final = 255


@dataclass(frozen=True)
class RowFormat:
    """A row of the feature cache.

    Attributes:
        kind: `float16`, or `int8`: each cell of the grid has a lowest value and a step of its own, in fp32,
            and each of its features the nearest of 256 levels (affine quantisation, Jacob et al. 2018,
            arXiv:1712.05877). So no feature is off by more than half a step.
        cells: R.
        dim: D.
    """

    kind: FeatureType
    cells: int
    dim: int

    @property
    def record(self) -> np.dtype[np.void]:
        """Fields of a row."""
        if self.kind == "float16":
            return np.dtype([("features", "<f2", (self.cells, self.dim))])
        scales = [(name, "<f4", (self.cells, 1)) for name in ("lowest", "step")]
        return np.dtype([*scales, ("levels", "u1", (self.cells, self.dim))])

    def pack(self, features: torch.Tensor | npt.NDArray[np.float32]) -> torch.Tensor:
        """Rows (N, bytes) uint8 of features (N, R, D), made on the device of these."""
        import torch

        values = torch.as_tensor(features)
        if self.kind == "float16":
            return values.half().flatten(1).view(torch.uint8)
        values = values.float()
        lowest = values.amin(dim=2, keepdim=True)
        step = (values.amax(dim=2, keepdim=True) - lowest) / _LEVELS
        levels = (values - lowest).div_(torch.where(step > 0, step, 1.0)).round_()
        levels = levels.clamp_(max=_LEVELS).byte()  # a step so small that it is rounded gives more
        parts = (lowest, step, levels)
        return torch.cat([part.flatten(1).contiguous().view(torch.uint8) for part in parts], dim=1)

    def records(self, rows: torch.Tensor) -> Record:
        """Rows (N,) with their fields, of rows (N, bytes) on the CPU; not a copy."""
        packed: Record = rows.numpy().view(self.record)[:, 0]
        return packed

    def finite(self, rows: Record) -> npt.NDArray[np.bool_]:
        """Which of some rows (N,) hold finite numbers only: (N,)."""
        if self.kind == "float16":  # by their exponents: ten times as fast as `np.isfinite`
            bits = rows["features"].view("<u2") & 0x7FFF
            return np.asarray(bits.max(axis=(1, 2), initial=0) < 0x7C00)
        return np.logical_and(*(np.isfinite(rows[name]).all(axis=(1, 2)) for name in ("lowest", "step")))

    def unpack(self, row: Record | Mapping[str, Any]) -> npt.NDArray[np.float16]:
        """Features (R, D) of a row; of `float16` they are the row itself, not a copy."""
        if self.kind == "float16":
            features: npt.NDArray[np.float16] = row["features"]
            return features
        return (row["levels"] * row["step"] + row["lowest"]).astype(np.float16)
