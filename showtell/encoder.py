"""The frozen image encoder: pictures -> a grid of features."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers import PreTrainedConfig, ResNetConfig, ResNetModel
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from showtell.config import EncoderConfig, Precision
from showtell.data.images import ImageTransform
from showtell.devices import compute_dtype
from showtell.errors import EncoderError
from showtell.fingerprints import weights_fingerprint
from showtell.resources import find_model
from showtell.torchvision_weights import IMAGENET_MEAN, IMAGENET_STD, convert_torchvision

log = logging.getLogger(__name__)

RGB = tuple[float, float, float]

BATCH = 16
"""Pictures an encoder call: the fastest on a CPU, and enough for a GPU not to wait for Python."""


class CNNEncoder(nn.Module):
    """A ResNet (He et al. 2016), frozen: its weights and batch-norm statistics never change.

    The parameters are kept as they were loaded. What computes is a copy of them with batch-norm folded into
    the convolutions, in the number format that the machine is fast at, made at the first use.

    Args:
        backbone: the network without its classifier.
        transform: makes the pictures that the backbone was trained on.
        precision: number format to compute in.
    """

    def __init__(
        self, backbone: ResNetModel, transform: ImageTransform, precision: Precision = "auto"
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.transform = transform
        self.precision = precision
        self.feature_dim = list(backbone.config.hidden_sizes or [])[-1]
        self.grid_cells = math.ceil(transform.size / _stride(backbone.config)) ** 2
        self.requires_grad_(False)
        self._folded: nn.Module | None = None
        self.register_load_state_dict_post_hook(_forget_folded)  # type: ignore[no-untyped-call]
        self.eval()

    @classmethod
    def from_config(cls, config: EncoderConfig) -> CNNEncoder:
        """Load an encoder by the name of its weights.

        `config.weights` is a folder in models/, a local `transformers` folder, a hub id, or a file with a
        torchvision state dictionary (`.pth`).

        Raises:
            EncoderError: there are no such weights, or they are not a ResNet's.
        """
        found = find_model(config.weights)
        if found is not None and found.is_file():
            backbone, mean, std = _load_torchvision(found)
        else:
            backbone, mean, std = _load_transformers(str(found or config.weights))
        return cls(backbone, ImageTransform(config.image_size, mean, std), config.precision)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
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
            (B, R, D) in `dtype`; R = (size / 32)**2, rounded up, for the transform's size: (B, 49, 2048) for
            224 pixels and a ResNet50. The grid of a picture that is not a square is interpolated to that.
        """
        images = images.to(self.dtype, memory_format=torch.channels_last)
        with torch.autocast(images.device.type, enabled=False):
            grid: Tensor = self._computing()(images).last_hidden_state  # (B, D, H / 32, W / 32)
            side = math.isqrt(self.grid_cells)
            if grid.shape[2:] != (side, side):
                grid = F.interpolate(grid.float(), (side, side), mode="bilinear").to(self.dtype)
        return grid.flatten(2).transpose(1, 2)

    def encode_pixels(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """Features (N, R, D) of N pictures (H, W, 3) uint8; those of one shape share batches of `BATCH`."""
        if not len(pixels):
            return torch.empty(0, self.grid_cells, self.feature_dim, dtype=self.dtype, device=self.device)
        places: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, picture in enumerate(pixels):
            places[picture.shape].append(place)
        batches = [some[i : i + BATCH] for some in places.values() for i in range(0, len(some), BATCH)]
        features = [self._encode_batch(np.stack([pixels[place] for place in batch])) for batch in batches]
        if len(places) == 1:
            return torch.cat(features)
        order = torch.tensor(list(chain.from_iterable(batches)), device=self.device)
        return torch.cat(features)[order.argsort()]

    def _encode_batch(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Features (B, R, D) of pixels (B, H, W, 3)."""
        return self(self.transform.normalize(torch.from_numpy(pixels).to(self.device)))

    @staticmethod
    def pool(features: Tensor) -> Tensor:
        """Pooled features (B, D) of grid features (B, R, D): their mean, as the classifier saw it."""
        return features.mean(dim=1)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the features: weights, architecture, transform, precision."""
        digest = hashlib.sha256(weights_fingerprint(self.backbone.state_dict()).encode())
        digest.update(json.dumps(architecture(self.backbone), sort_keys=True).encode())
        digest.update(self.transform.fingerprint().encode())
        digest.update(str(self.dtype).encode())
        return digest.hexdigest()

    def _computing(self) -> nn.Module:
        if self._folded is None:
            # Not a submodule: it is no part of the state dictionary.
            folded: Any = _fold_batch_norm(self.backbone)
            folded = folded.to(dtype=self.dtype, memory_format=torch.channels_last)
            object.__setattr__(self, "_folded", folded)
        assert self._folded is not None
        return self._folded

    def _apply(self, fn: Any, recurse: bool = True) -> CNNEncoder:
        _forget_folded(self)  # the parameters move or change their format
        moved: CNNEncoder = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


_ARCHITECTURE = (
    "depths",
    "downsample_in_bottleneck",
    "downsample_in_first_stage",
    "embedding_size",
    "hidden_act",
    "hidden_sizes",
    "layer_type",
)


def architecture(backbone: ResNetModel) -> dict[str, Any]:
    """What is needed to build the backbone again, as plain values."""
    return {name: getattr(backbone.config, name) for name in _ARCHITECTURE}


def _stride(config: ResNetConfig) -> int:
    """Pixels of the picture that a cell of the grid is wide: 32 for a ResNet50."""
    halvings = 1 + len(config.depths or []) + bool(config.downsample_in_first_stage)
    return 2**halvings


def _forget_folded(encoder: nn.Module, *_: object) -> None:
    """Fold again at the next use: the weights are others now, by the encoder's or its owner's loading."""
    object.__setattr__(encoder, "_folded", None)


def _fold_batch_norm(backbone: ResNetModel) -> nn.Module:
    """A copy whose convolutions hold their batch-norm: the same outputs in fewer passes."""
    folded = copy.deepcopy(backbone).float()
    for module in folded.modules():
        convolution, norm = getattr(module, "convolution", None), getattr(module, "normalization", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.convolution = fuse_conv_bn_eval(convolution, norm)
            module.normalization = nn.Identity()
    return folded.requires_grad_(False)


def _load_transformers(name: str) -> tuple[ResNetModel, RGB, RGB]:
    """Backbone, mean and standard deviation (in units of 0..1) of a `transformers` folder or hub id."""
    transformers_logging.disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what it would warn of is checked below
    try:
        _require_resnet(name)
        backbone, info = _from_pretrained(name)
        mean, std = _normalisation(name)
    except EncoderError:
        raise
    except Exception as error:  # a damaged folder can raise about anything inside transformers
        raise EncoderError(
            f"{name}: no encoder weights there ({_reason(error)}); give a folder in models/, a local "
            "`transformers` folder, a hub id that is in reach, or a torchvision .pth file"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if info["missing_keys"]:
        raise EncoderError(f"{name}: weights are missing, {min(info['missing_keys'])} among them")
    if info["mismatched_keys"]:
        odd = min(info["mismatched_keys"])[0]
        raise EncoderError(f"{name}: weights are of another size than config.json says, {odd} among them")
    return backbone, mean, std


def _require_resnet(name: str) -> None:
    kind = PreTrainedConfig.get_config_dict(name)[0].get("model_type")
    if kind != "resnet":
        raise EncoderError(f"{name}: a {kind!r} model, not a ResNet; choose a folder or hub id of a ResNet")


def _from_pretrained(name: str) -> tuple[ResNetModel, dict[str, Any]]:
    loaded: Any = ResNetModel.from_pretrained(
        name, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    backbone, info = loaded
    return backbone, info


def _normalisation(name: str) -> tuple[RGB, RGB]:
    """Mean and standard deviation of `preprocessor_config.json`, in units of 0..1."""
    preprocessor = json.loads(Path(str(cached_file(name, "preprocessor_config.json"))).read_bytes())
    scale = preprocessor.get("rescale_factor", 1 / 255) if preprocessor.get("do_rescale", True) else 1.0
    values = [preprocessor.get(key) for key in ("image_mean", "image_std")]
    if any(not isinstance(value, list) or len(value) != 3 for value in values):
        raise ValueError("preprocessor_config.json has no image_mean and image_std of three numbers")
    mean, std = ([v / 255 / scale for v in value] for value in values)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _reason(error: Exception) -> str:
    """What an error says, on one line."""
    return textwrap.shorten(str(error), 240) or type(error).__name__


def _load_torchvision(path: Path) -> tuple[ResNetModel, RGB, RGB]:
    """Backbone, mean and standard deviation of a torchvision ResNet's state dictionary."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise about anything inside the unpickler
        raise EncoderError(
            f"{path}: damaged, or not weights that can be loaded safely; save them by "
            "torch.save(model.state_dict(), ...)"
        ) from error
    config, converted = convert_torchvision(state, str(path))
    backbone = ResNetModel(ResNetConfig(**config))
    try:
        backbone.load_state_dict(converted)
    except RuntimeError as error:
        raise EncoderError(f"{path}: not the weights of a plain ResNet ({_reason(error)})") from error
    return backbone, IMAGENET_MEAN, IMAGENET_STD
