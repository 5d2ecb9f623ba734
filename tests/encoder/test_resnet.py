"""ResNets of every layout, against those of transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.resnet import ResNet, ResNetSettings, empty_resnet
from tests.conftest import randomise_batch_norm
from tests.encoder.folders import as_transformers


def test_grid_of_other_layouts() -> None:
    layout = ResNetSettings(
        embedding_size=8,
        hidden_sizes=(16, 32),
        depths=(1, 2),
        layer_type="basic",
        downsample_in_first_stage=True,
    )
    encoder = CNNEncoder(ResNet(layout), ImageTransform(100), "fp32")
    grid = encoder.encode_pixels([np.zeros((100, 100, 3), np.uint8)])
    assert grid.shape == (1, encoder.grid_cells, encoder.feature_dim)


@pytest.mark.parametrize(
    ("layer_type", "act", "early"),
    [
        ("basic", "relu", False),
        ("basic", "gelu", True),
        ("bottleneck", "relu", True),
        ("bottleneck", "silu", False),
    ],
)
def test_every_layout_is_that_of_transformers(layer_type: str, act: str, early: bool) -> None:
    torch.manual_seed(0)
    layout = ResNetSettings(
        depths=(2, 1, 2),
        hidden_sizes=(16, 24, 32),
        embedding_size=8,
        layer_type=layer_type,
        downsample_in_bottleneck=early,
        downsample_in_first_stage=not early,
        hidden_act=act,
    )
    network = ResNet(layout)
    randomise_batch_norm(network)
    theirs, images = as_transformers(network), torch.randn(2, 3, 70, 90)
    with torch.no_grad():
        grid = network.eval()(images)
        torch.testing.assert_close(grid, theirs(images).last_hidden_state)
        torch.testing.assert_close(network.folded()(images), grid, rtol=1e-3, atol=1e-4)


def test_the_defaults_are_those_of_a_resnet50() -> None:
    """The published ResNet50 has 25,557,032 parameters, of which the classifier has 2,049,000."""
    network = empty_resnet(ResNetSettings())
    assert sum(weight.numel() for weight in network.parameters()) == 25_557_032 - 2_049_000
    assert all(weight.is_meta for weight in network.parameters()), "no memory"
    assert (network.feature_dim, network.grid_side(224), network.grid_side(225)) == (2048, 7, 8)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.sampled_from(["basic", "bottleneck"]),
    st.booleans(),
    st.integers(33, 90),
)
def test_the_grid_has_the_sides_that_are_foretold(
    depths: list[int], layer_type: str, early: bool, size: int
) -> None:
    made = ResNetSettings.from_config(
        {
            "depths": depths,
            "hidden_sizes": [4 * (n + 1) for n in range(len(depths))],
            "embedding_size": 4,
            "layer_type": layer_type,
            "downsample_in_first_stage": early,
            "id2label": {"0": "a setting without a meaning here"},
        }
    )
    assert ResNetSettings.from_config(made.to_json()) == made
    with torch.no_grad():
        grid = ResNet(made).eval()(torch.zeros(1, 3, size, size))
    side = empty_resnet(made).grid_side(size)
    assert grid.shape == (1, 4 * len(depths), side, side)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"depths": [3, 4]}, "of other lengths"),
        ({"depths": [], "hidden_sizes": []}, "of other lengths"),
        ({"hidden_sizes": [2, 4, 8, 16]}, "less than 4 channels"),
        ({"hidden_sizes": [256, 512, 1024, 2_000_000]}, "no whole numbers"),
        ({"embedding_size": "64"}, "no whole numbers"),
        ({"embedding_size": True}, "no whole numbers"),
        ({"depths": [100, 100, 100, 100]}, "more than 256 layers"),
        ({"layer_type": "wide"}, "layer_type 'wide'"),
        ({"hidden_act": "tanh"}, "hidden_act 'tanh'"),
        ({"downsample_in_bottleneck": 1}, "downsample_in_bottleneck is neither true nor false"),
    ],
)
def test_settings_of_no_network_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ResNetSettings.from_config(values)
