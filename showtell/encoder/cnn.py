"""The frozen image encoder: images -> a grid of features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.config import EncoderConfig, Precision
from showtell.data.decode_ahead import batches_of_a_shape
from showtell.data.preprocess import normalize
from showtell.data.transforms import ImageTransform
from showtell.encoder.backbone import GridNetwork
from showtell.encoder.pretrained import load_backbone
from showtell.utils.devices import compute_dtype, encoder_batch_size, stack_to_device, to_device
from showtell.utils.malloc import keep_freed_memory


class CNNEncoder(nn.Module):
    """A ResNet (He et al. 2016), or another network that gives a grid, frozen: its weights never change.

    The parameters are kept as they were loaded. What computes is a copy of them with batch-norm folded into
    the convolutions, in the number format that the machine is fast at, made at the first use.

    Args:
        backbone: the network without its classifier.
        transform: makes the images that the backbone was trained on.
        precision: number format to compute in.
        grid_side: rows, and columns, of the grid of features; by default those that the backbone makes of a
            square of the transform's size. A decoder that was trained on that grid can be given images of
            another size: theirs is interpolated to it.

    Raises:
        ValueError: the grid has no cells.
    """

    def __init__(
        self,
        backbone: GridNetwork,
        transform: ImageTransform,
        precision: Precision = "auto",
        grid_side: int | None = None,
    ) -> None:
        super().__init__()
        keep_freed_memory()
        self.backbone = backbone
        self.transform = transform
        self.precision = precision
        self.feature_dim = backbone.feature_dim
        self.grid_side = self.natural_grid_side if grid_side is None else grid_side
        if self.grid_side < 1:
            raise ValueError(f"grid side {grid_side}: a grid has one row at least")
        self.grid_cells = self.grid_side**2
        self.requires_grad_(False)
        self._folded: nn.Module | None = None
        self.register_load_state_dict_post_hook(_forget_folded)  # type: ignore[no-untyped-call]
        self.eval()

    def __getstate__(self) -> dict[str, Any]:
        """The state for copies and pickles, without the folded copy of the backbone."""
        return {**self.__dict__, "_folded": None}

    @classmethod
    def from_config(cls, config: EncoderConfig) -> CNNEncoder:
        """Load an encoder by the name of its weights (see `load_backbone`).

        Raises:
            EncoderError: there are no such weights, or not of a network that gives a grid.
        """
        backbone, mean, std = load_backbone(config.weights)
        return cls(backbone, ImageTransform(config.image_size, mean, std), config.precision)

    @property
    def natural_grid_side(self) -> int:
        """Rows, and columns, of the grid that the backbone makes of a square of the transform's size."""
        return self.backbone.grid_side(self.transform.size)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the features."""
        return compute_dtype(self.precision, self.device)

    def train(self, mode: bool = True) -> CNNEncoder:  # noqa: ARG002 - nn.Module's signature
        """Stay in evaluation mode: batch-norm statistics never change."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Grid features, row by row from the top left.

        Args:
            images: (B, 3, H, W), normalised (see `transform`), of any proportions.

        Returns:
            (B, R, D) in `dtype`; R = `grid_side`**2: (B, 49, 2048) for 224 pixels and a ResNet50. The grid of
            an image that has another, because it is not a square or of another size, is interpolated to it.
        """
        images = images.to(self.dtype, memory_format=torch.channels_last)
        with torch.autocast(images.device.type, enabled=False):
            grid: Tensor = self._folded_backbone()(images)  # (B, D, H / 32, W / 32)
            sides = (self.grid_side, self.grid_side)
            if grid.shape[2:] != sides:
                grid = F.interpolate(grid.float(), sides, mode="bilinear").to(self.dtype)
        return grid.flatten(2).transpose(1, 2)

    @property
    def device_type(self) -> str:
        """The device: `cpu`, `cuda`, ..."""
        return self.device.type

    @property
    def batch_size(self) -> int:
        """Images of one shape that are encoded together, by the device that computes."""
        return encoder_batch_size(self.device)

    def encode_pixels(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """Features (N, R, D) of N images (H, W, 3) uint8; those of one shape share batches."""
        if not len(pixels):
            return torch.empty(0, self.grid_cells, self.feature_dim, dtype=self.dtype, device=self.device)
        order: list[int] = []
        features = []
        for indices in batches_of_a_shape(pixels, self.batch_size):
            order += indices
            images = stack_to_device([pixels[index] for index in indices], self.device)
            features.append(self(normalize(images, self.transform.mean, self.transform.std)))
        together = torch.cat(features) if len(features) > 1 else features[0]
        if order == sorted(order):
            return together
        return together.index_select(0, to_device(torch.tensor(order).argsort(), self.device))

    @staticmethod
    def pool(features: Tensor) -> Tensor:
        """Pooled features (B, D) of grid features (B, R, D): their mean, as the classifier saw it."""
        return features.mean(dim=1)

    @property
    def producer(self) -> str:
        """A readable description of the encoder."""
        return f"PyTorch, {str(self.dtype).removeprefix('torch.')}"

    def fingerprint(self) -> str:
        """SHA-256 (hex) of what decides the features: weights, architecture, transform, grid, precision."""
        digest = hashlib.sha256(weights_fingerprint(self.backbone.state_dict()).encode())
        digest.update(json.dumps(self.backbone.architecture(), sort_keys=True).encode())
        digest.update(self.transform.fingerprint().encode())
        digest.update(str(self.dtype).encode())
        if self.grid_side != self.natural_grid_side:  # else as it has always been: caches stay valid
            digest.update(f"grid side {self.grid_side}".encode())
        return digest.hexdigest()

    def _folded_backbone(self) -> nn.Module:
        if self._folded is None:
            # Not a submodule: it is no part of the state dictionary.
            folded: Any = self.backbone.folded()
            folded = folded.to(dtype=self.dtype, memory_format=torch.channels_last)
            object.__setattr__(self, "_folded", folded)
        assert self._folded is not None
        return self._folded

    def _apply(self, fn: Any, recurse: bool = True) -> CNNEncoder:
        _forget_folded(self)  # the parameters move or change their format
        moved: CNNEncoder = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


def _forget_folded(encoder: nn.Module, *_: object) -> None:
    """Fold again at the next use: the weights are others now, by the encoder's or its owner's loading."""
    object.__setattr__(encoder, "_folded", None)
