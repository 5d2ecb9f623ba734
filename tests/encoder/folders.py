"""ResNets as folders, as the libraries save them."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn
from transformers import ResNetConfig, ResNetModel

from showtell.config import EncoderConfig
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.resnet import ResNet

PREPROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


def as_transformers(backbone: ResNet) -> ResNetModel:
    """The same network, of `transformers`."""
    theirs = ResNetModel(ResNetConfig(**backbone.settings.to_json()))
    theirs.load_state_dict(backbone.state_dict())
    return theirs.eval()


def save_folder(path: Path, backbone: nn.Module) -> Path:
    backbone.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return path


def load(weights: Path | str, size: int = 64) -> CNNEncoder:
    return CNNEncoder.from_config(EncoderConfig(str(weights), size, "fp32"))
