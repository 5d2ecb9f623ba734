"""The interface of an encoder's network: what a new one has to bring, and what the encoder makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.data.transforms import ImageTransform
from showtell.encoder.backbone import GridNetwork
from showtell.encoder.cnn import CNNEncoder

CELL = 16
TRANSFORM = ImageTransform(64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class MeanColours(GridNetwork):
    """The mean colour of each cell of 16 x 16 pixels, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    @property
    def feature_dim(self) -> int:
        return 3

    def grid_side(self, size: int) -> int:
        return size // CELL

    def architecture(self) -> dict[str, Any]:
        return {"kind": "plugin", "name": "colours"}

    def forward(self, images: Tensor) -> Tensor:
        return self.weight * F.avg_pool2d(images, CELL)

    def folded(self) -> nn.Module:
        copied = MeanColours()
        copied.load_state_dict(self.state_dict())
        return copied


@pytest.mark.parametrize("missing", ["feature_dim", "grid_side", "architecture", "forward", "folded"])
def test_a_network_needs_all_of_it(missing: str) -> None:
    parts = {name: value for name, value in vars(MeanColours).items() if name != missing and name[0] != "_"}
    incomplete = type("Incomplete", (GridNetwork,), parts)
    with pytest.raises(TypeError, match=rf"abstract .*{missing}"):
        incomplete()


def test_an_encoder_takes_any_network() -> None:
    """Its cells run row by row from the top left; the values are those of NumPy."""
    encoder = CNNEncoder(MeanColours(), TRANSFORM, "fp32")
    assert (encoder.feature_dim, encoder.grid_side, encoder.grid_cells) == (3, 4, 16)
    assert not any(weight.requires_grad for weight in encoder.parameters())
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cells = [
        2 * pixels[top : top + CELL, left : left + CELL].mean(axis=(0, 1)) / 255
        for top in range(0, 64, CELL)
        for left in range(0, 64, CELL)
    ]
    expected = torch.from_numpy(np.array(cells)).float()[None]
    torch.testing.assert_close(encoder.encode_pixels([pixels]), expected, rtol=1e-4, atol=1e-4)


def test_a_changed_weight_counts_after_it_is_loaded() -> None:
    """The network that computes is a copy, which is made anew."""
    encoder = CNNEncoder(MeanColours(), TRANSFORM, "fp32")
    images = torch.rand(1, 3, 64, 64)
    before, fingerprint = encoder(images), encoder.fingerprint()
    encoder.load_state_dict({"backbone.weight": torch.tensor(6.0)})
    torch.testing.assert_close(encoder(images), 3 * before)
    assert encoder.fingerprint() != fingerprint
