"""The interface of an encoder's network: images to a grid of features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class GridNetwork(nn.Module, ABC):
    """A network without classifier: images (B, 3, H, W), normalised, to a grid (B, D, h, w).

    Its parameters are kept as they were loaded; `folded` gives the copy that computes.
    """

    @property
    @abstractmethod
    def feature_dim(self) -> int:
        """Channels D of the grid."""

    @abstractmethod
    def grid_side(self, size: int) -> int:
        """Rows, and columns, of the grid of a square image of `size` pixels."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """The architecture as plain values, from which `make_network` makes the network without weights."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """The grid (B, D, h, w) of images (B, 3, H, W), of any proportions."""

    @abstractmethod
    def folded(self) -> nn.Module:
        """A copy that computes the same, as fast as it can; the encoder converts it to its number format."""
