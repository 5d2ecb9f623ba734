"""Backbones by the name of their weights: folders and hub ids of `transformers`, and torchvision's files."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from showtell.checkpoints.tensor_files import misfit, not_finite, read_pickled, read_safetensors
from showtell.config.plugins import load_plugin, plugin_failed, plugin_names
from showtell.encoder.backbone import GridNetwork
from showtell.encoder.networks import checked_network
from showtell.encoder.resnet import ResNet, ResNetSettings, empty_resnet
from showtell.encoder.torchvision_weights import IMAGENET_MEAN, IMAGENET_STD, convert_torchvision
from showtell.encoder.transformer_backbones import load_transformers_network
from showtell.errors import EncoderError, ShowtellError
from showtell.utils.files import read_json
from showtell.utils.shipped import find_model

RGB = tuple[float, float, float]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class Backbone(NamedTuple):
    """A network, and the mean and standard deviation of its images in units of 0..1."""

    network: GridNetwork
    mean: RGB
    std: RGB


def load_backbone(name: str) -> Backbone:
    """Load a ResNet, or another network that gives a grid.

    Args:
        name: a folder in models/, a local `transformers` folder, a hub id, or a file with a torchvision state
            dictionary (`.pth`); or `PLUGIN:NAME`, if a package registers such a plug-in of encoders.

    Raises:
        EncoderError: there are no such weights, or not of a network that gives a grid.
        PluginError: the plug-in fails.
    """
    plugin, colon, rest = name.partition(":")
    if colon and plugin in plugin_names("encoders"):
        return _load_plugin(plugin, rest)
    path = find_model(name)
    if path is not None and path.is_file():
        return _load_torchvision(path)
    return _load_transformers(str(path or name))


def find_encoder(name: str) -> Path | None:
    """The local encoder folder that a model file names, or None.

    The file is untrusted, so hub ids, network paths and pickled files are not accepted here; users must name
    them.
    """
    if not isinstance(name, str) or not name.strip() or name.replace("\\", "/").startswith("//"):
        return None
    path = find_model(name)
    return path if path is not None and path.is_dir() else None


def _load_transformers(name: str) -> Backbone:
    try:
        config = _read_json(name, "config.json")
        if config.get("model_type") != "resnet":
            network = load_transformers_network(name, str(config.get("model_type")))
            return Backbone(network, *_normalisation(name))
        settings = ResNetSettings.from_config(config)
        return Backbone(_with_weights(settings, _read_weights(name), name), *_normalisation(name))
    except ShowtellError:
        raise
    except Exception as error:  # a damaged folder can raise about anything
        raise EncoderError(
            f"{name}: no encoder weights there ({_reason(error)}); give a folder in models/, a local "
            "`transformers` folder, a hub id that is in reach, or a torchvision .pth file"
        ) from error


def _load_plugin(name: str, weights: str) -> Backbone:
    encoder = load_plugin("encoders", name)
    try:
        network, mean, std = encoder.load(weights)
        return Backbone(checked_network(name, network), mean, std)
    except ShowtellError:
        raise
    except Exception as error:
        raise plugin_failed("encoders", name, error) from error


def _file(name: str, file: str) -> Path:
    """A file of a folder, or of a hub id (from the hub's cache, if it is there)."""
    if Path(name).is_dir():
        return Path(name) / file
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file))


def _read_json(name: str, file: str) -> dict[str, Any]:
    try:
        return read_json(_file(name, file))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _read_weights(name: str) -> dict[str, Tensor]:
    """The state dictionary, without the classifier and without the prefix that models with one have."""
    try:
        state = read_safetensors(_file(name, _WEIGHTS[0]))[1]
    except OSError as error:  # there is none: older ones are pickled
        try:
            state = read_pickled(_file(name, _WEIGHTS[1]))
        except OSError:
            raise error from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("not a state dictionary of tensors")
    return {
        str(key).removeprefix("resnet."): tensor
        for key, tensor in state.items()
        if not str(key).startswith("classifier.")
    }


def _with_weights(settings: ResNetSettings, state: dict[str, Tensor], name: str) -> ResNet:
    """A network of these weights, whose shapes are compared before anything is allocated."""
    network = empty_resnet(settings)
    expected = network.state_dict()
    for key in expected.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # not used in evaluation, and not in older files
            state[key] = torch.tensor(0)
    wanted = {key: state[key] for key in expected.keys() & state.keys()}
    if reason := misfit(wanted, expected):
        raise EncoderError(f"{name}: {reason}: of another size than its configuration says, or damaged")
    if odd := not_finite(wanted):
        raise EncoderError(f"{name}: damaged, {odd} has values that are infinite or not numbers")
    floats = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in wanted.items()}
    network.load_state_dict(floats, assign=True)
    return network


def _normalisation(name: str) -> tuple[RGB, RGB]:
    """Mean and standard deviation of `preprocessor_config.json`, in units of 0..1."""
    preprocessor = _read_json(name, "preprocessor_config.json")
    scale = preprocessor.get("rescale_factor", 1 / 255) if preprocessor.get("do_rescale", True) else 1.0
    values = [preprocessor.get(key) for key in ("image_mean", "image_std")]
    if any(not isinstance(value, list) or len(value) != 3 for value in values):
        raise ValueError("preprocessor_config.json has no image_mean and image_std of three numbers")
    mean, std = ([v / 255 / scale for v in value] for value in values)  # type: ignore[union-attr]
    if not all(math.isfinite(value) for value in (*mean, *std)) or min(std) <= 0:
        raise ValueError("image_mean and image_std in preprocessor_config.json make no sense")
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _load_torchvision(path: Path) -> Backbone:
    try:
        state = read_pickled(path)
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"{path}: damaged, or not weights that can be loaded safely ({_reason(error)}); save them by "
            "torch.save(model.state_dict(), ...)"
        ) from error
    config, converted = convert_torchvision(state, str(path))
    try:
        settings = ResNetSettings.from_config(config)
    except ValueError as error:
        raise EncoderError(f"{path}: not the weights of a plain ResNet ({_reason(error)})") from error
    if more := converted.keys() - empty_resnet(settings).state_dict().keys():
        raise EncoderError(f"{path}: not the weights of a plain ResNet ({min(more)} is none)")
    return Backbone(_with_weights(settings, converted, str(path)), IMAGENET_MEAN, IMAGENET_STD)


def _reason(error: Exception) -> str:
    """The message of an error, on one line."""
    return textwrap.shorten(str(error), 240) or type(error).__name__
