"""Networks by the architecture that a model's file describes: ResNets, `transformers` models, plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from showtell.config.plugins import load_plugin, plugin_failed
from showtell.encoder.backbone import GridNetwork
from showtell.encoder.resnet import ResNet, ResNetSettings
from showtell.errors import PluginError, ShowtellError
from showtell.utils.empty_modules import init_empty_weights


def make_network(architecture: Mapping[str, Any], *, empty: bool = False) -> GridNetwork:
    """A network without trained weights.

    Args:
        architecture: see `GridNetwork.architecture`. One without `kind` is a ResNet's; that of a plug-in has
            the kind `plugin` and its `name`.
        empty: without memory for the weights (on the device `meta`), to compare shapes before.

    Raises:
        EncoderError: it describes no network.
        PluginError: the plug-in is not installed, or fails.
        ValueError: a ResNet's values make no sense.
    """
    kind = architecture.get("kind")
    with init_empty_weights() if empty or kind is None else nullcontext():
        if kind is None:
            return ResNet(ResNetSettings.from_config(architecture))
        if kind == "plugin":
            return _of_plugin(str(architecture.get("name")), architecture)
        from showtell.encoder.transformer_backbones import TransformersNetwork

        return TransformersNetwork(architecture["config"])


def _of_plugin(name: str, architecture: Mapping[str, Any]) -> GridNetwork:
    encoder = load_plugin("encoders", name)
    try:
        return checked_network(name, encoder.make(architecture))
    except ShowtellError:
        raise
    except Exception as error:
        raise plugin_failed("encoders", name, error) from error


def checked_network(name: str, network: object) -> GridNetwork:
    """What a plug-in of encoders has made.

    Raises:
        PluginError: it is no `GridNetwork`, or does not name its plug-in.
    """
    if not isinstance(network, GridNetwork):
        raise PluginError(f"plug-in {name} (showtell.encoders): it makes no GridNetwork; see docs/plugins.md")
    wanted = {"kind": "plugin", "name": name}
    if not wanted.items() <= network.architecture().items():
        raise PluginError(
            f"plug-in {name} (showtell.encoders): its architecture has to hold {wanted}: by it a saved model"
            " finds the plug-in"
        )
    return network
