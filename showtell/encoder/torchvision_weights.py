"""torchvision's ResNet state dictionaries, converted to `transformers`' names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from showtell.errors import EncoderError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue in units of 0..1, as torchvision's models take it."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation that goes with it."""

_RULES = [
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (r"^layer(\d)\.(\d+)\.conv(\d)\.", "encoder.stages.{0}.layers.{1}.layer.{2}.convolution."),
    (r"^layer(\d)\.(\d+)\.bn(\d)\.", "encoder.stages.{0}.layers.{1}.layer.{2}.normalization."),
    (r"^layer(\d)\.(\d+)\.downsample\.0\.", "encoder.stages.{0}.layers.{1}.shortcut.convolution."),
    (r"^layer(\d)\.(\d+)\.downsample\.1\.", "encoder.stages.{0}.layers.{1}.shortcut.normalization."),
]

_WIDTHS = ["conv1.weight", *(f"layer{i}.0.conv3.weight" for i in range(1, 5))]
"""Weights whose shapes give the channels of the stem and of each stage."""


def convert_torchvision(state: object, source: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert a torchvision bottleneck ResNet (50, 101, 152, or narrower ones of that layout).

    Args:
        state: its state dictionary; `state_dict` or `model` wrappers of training scripts are opened.
        source: name for messages.

    Returns:
        Values of `ResNetSettings`, and the state dictionary of a `ResNet`.

    Raises:
        EncoderError: it is not such a state dictionary.
    """
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise EncoderError(f"{source}: not a state dictionary of tensors")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    widths = [tensors.get(name) for name in _WIDTHS]
    if any(tensor is None or tensor.ndim != 4 for tensor in widths):
        raise EncoderError(f"{source}: not a torchvision ResNet with bottlenecks (50, 101 or 152 layers)")
    converted = {
        _rename(name, source): tensor for name, tensor in tensors.items() if not name.startswith("fc.")
    }
    for name in [name for name in converted if name.endswith("running_var")]:
        # Files of before 2018 have no such counter; it is not used in evaluation.
        converted.setdefault(name.replace("running_var", "num_batches_tracked"), torch.tensor(0))
    embedding_size, *hidden_sizes = (len(tensors[name]) for name in _WIDTHS)
    config = {
        "embedding_size": embedding_size,
        "hidden_sizes": hidden_sizes,
        "depths": [
            len({n.split(".")[1] for n in tensors if n.startswith(f"layer{i}.")}) for i in range(1, 5)
        ],
        "layer_type": "bottleneck",
        "downsample_in_bottleneck": False,
    }
    return config, converted


def _rename(name: str, source: str) -> str:
    for pattern, target in _RULES:
        if match := re.match(pattern, name):
            numbers = [int(group) for group in match.groups()]
            shifted = [
                n - 1 if i != 1 else n for i, n in enumerate(numbers)
            ]  # stages and layers count from 0
            return target.format(*shifted) + name[match.end() :]
    raise EncoderError(f"{source}: {name} is not a weight of a torchvision ResNet")
