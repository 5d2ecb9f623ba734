"""Networks by the architecture that a model's file describes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from showtell.encoder import networks
from showtell.encoder.backbone import GridNetwork
from showtell.encoder.networks import checked_network, make_network
from showtell.errors import EncoderError, PluginError
from tests.conftest import make_tiny_backbone


@pytest.mark.parametrize(
    "architecture", [{}, {"model_type": "bert"}, {"model_type": "vit", "hidden_size": "x"}]
)
def test_architectures_that_are_none(architecture: dict[str, Any]) -> None:
    with pytest.raises(EncoderError):
        make_network({"kind": "transformers", "config": architecture})


@pytest.mark.parametrize("empty", [False, True])
def test_an_architecture_makes_the_same_network_again(empty: bool) -> None:
    network = make_tiny_backbone()
    again = make_network(network.architecture(), empty=empty)
    assert again.architecture() == network.architecture()
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    assert all(weight.is_meta for weight in again.parameters()), "a ResNet's weights are always assigned"


def test_a_transformer_without_memory_has_the_shapes_of_one_with() -> None:
    pytest.importorskip("transformers", reason="the extra encoders is not installed")
    config = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"intermediate_size": 24, "image_size": 32, "patch_size": 16}
    full, empty = (make_network({"kind": "transformers", "config": config}, empty=e) for e in (False, True))
    assert not any(weight.is_meta for weight in full.parameters())
    assert all(weight.is_meta for weight in empty.parameters())
    assert [w.shape for w in full.parameters()] == [w.shape for w in empty.parameters()]


class Mean(GridNetwork):
    """A network of one cell: the mean colour."""

    feature_dim = 3  # type: ignore[assignment]

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        self.described = architecture

    def grid_side(self, size: int) -> int:
        return 1

    def architecture(self) -> dict[str, Any]:
        return self.described

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3), keepdim=True)

    def folded(self) -> nn.Module:
        return self


def test_a_plugin_makes_its_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = SimpleNamespace(make=lambda architecture: Mean(dict(architecture)))
    monkeypatch.setattr(
        networks, "load_plugin", lambda group, name: {("encoders", "mean"): plugin}[group, name]
    )
    described = {"kind": "plugin", "name": "mean", "sides": [1, 2]}
    network = make_network(described)
    assert network.architecture() == described
    assert network(torch.ones(2, 3, 4, 5)).shape == (2, 3, 1, 1)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Identity(), "makes no GridNetwork"),
        (Mean({}), "its architecture has to hold"),
        (Mean({"kind": "plugin", "name": "other"}), "its architecture has to hold .*'mean'"),
    ],
)
def test_what_a_plugin_makes_is_checked(network: nn.Module, reason: str) -> None:
    with pytest.raises(PluginError, match=rf"plug-in mean \(showtell.encoders\): .*{reason}"):
        checked_network("mean", network)


def test_a_plugin_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "load_plugin", lambda *_: SimpleNamespace())
    with pytest.raises(PluginError, match=r"mean \(showtell.encoders\).*AttributeError"):
        make_network({"kind": "plugin", "name": "mean"})
