"""Backbones by the name of their weights: folders and hub ids of `transformers`, and torchvision's files."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from showtell.errors import EncoderError
from showtell.resnet import ResNet, ResNetSettings, empty_resnet
from showtell.resources import find_model
from showtell.torchvision_weights import IMAGENET_MEAN, IMAGENET_STD, convert_torchvision

RGB = tuple[float, float, float]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class Backbone(NamedTuple):
    """A network, and the mean and standard deviation of its pictures in units of 0..1."""

    network: ResNet
    mean: RGB
    std: RGB


def load_backbone(name: str) -> Backbone:
    """Load a ResNet.

    Args:
        name: a folder in models/, a local `transformers` folder, a hub id, or a file with a torchvision state
            dictionary (`.pth`).

    Raises:
        EncoderError: there are no such weights, or they are not a ResNet's.
    """
    found = find_model(name)
    if found is not None and found.is_file():
        return _load_torchvision(found)
    return _load_transformers(str(found or name))


def _load_transformers(name: str) -> Backbone:
    try:
        config = _read_json(name, "config.json")
        _require_resnet(name, config.get("model_type"))
        settings = ResNetSettings.from_config(config)
        network = _with_weights(settings, _read_weights(name), name)
        return Backbone(network, *_normalisation(name))
    except EncoderError:
        raise
    except Exception as error:  # a damaged folder can raise about anything
        raise EncoderError(
            f"{name}: no encoder weights there ({_reason(error)}); give a folder in models/, a local "
            "`transformers` folder, a hub id that is in reach, or a torchvision .pth file"
        ) from error


def _require_resnet(name: str, kind: str | None) -> None:
    if kind != "resnet":
        raise EncoderError(f"{name}: a {kind!r} model, not a ResNet; choose a folder or hub id of a ResNet")


def _file(name: str, file: str) -> Path:
    """A file of a folder, or of a hub id (from the hub's cache, where it is there)."""
    if Path(name).is_dir():
        return Path(name) / file
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file))


def _read_json(name: str, file: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(_file(name, file).read_bytes())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    return values


def _read_weights(name: str) -> dict[str, Tensor]:
    """The state dictionary, without the classifier and without the prefix that models with one have."""
    try:
        state = load_file(_file(name, _WEIGHTS[0]))
    except OSError as error:  # there is none: older ones are pickled
        try:
            state = torch.load(_file(name, _WEIGHTS[1]), map_location="cpu", weights_only=True)
        except OSError:
            raise error from None
    return {
        key.removeprefix("resnet."): tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
        if not key.startswith("classifier.")
    }


def _with_weights(settings: ResNetSettings, state: dict[str, Tensor], name: str) -> ResNet:
    network = empty_resnet(settings)
    expected = network.state_dict()
    for key in expected.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # not used in evaluation, and not in older files
            state[key] = torch.tensor(0)
    if missing := expected.keys() - state.keys():
        raise EncoderError(f"{name}: weights are missing, {min(missing)} among them")
    if odd := [key for key, tensor in expected.items() if state[key].shape != tensor.shape]:
        raise EncoderError(
            f"{name}: weights are of another size than config.json says, {min(odd)} among them"
        )
    network.load_state_dict({key: state[key] for key in expected}, assign=True)
    return network


def _normalisation(name: str) -> tuple[RGB, RGB]:
    """Mean and standard deviation of `preprocessor_config.json`, in units of 0..1."""
    preprocessor = _read_json(name, "preprocessor_config.json")
    scale = preprocessor.get("rescale_factor", 1 / 255) if preprocessor.get("do_rescale", True) else 1.0
    values = [preprocessor.get(key) for key in ("image_mean", "image_std")]
    if any(not isinstance(value, list) or len(value) != 3 for value in values):
        raise ValueError("preprocessor_config.json has no image_mean and image_std of three numbers")
    mean, std = ([v / 255 / scale for v in value] for value in values)  # type: ignore[union-attr]
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _load_torchvision(path: Path) -> Backbone:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise about anything inside the unpickler
        raise EncoderError(
            f"{path}: damaged, or not weights that can be loaded safely; save them by "
            "torch.save(model.state_dict(), ...)"
        ) from error
    config, converted = convert_torchvision(state, str(path))
    network = ResNet(ResNetSettings.from_config(config))
    try:
        network.load_state_dict(converted)
    except RuntimeError as error:
        raise EncoderError(f"{path}: not the weights of a plain ResNet ({_reason(error)})") from error
    return Backbone(network, IMAGENET_MEAN, IMAGENET_STD)


def _reason(error: Exception) -> str:
    """What an error says, on one line."""
    return textwrap.shorten(str(error), 240) or type(error).__name__
