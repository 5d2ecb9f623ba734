"""The default encoder, and a folder of tiny weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.config import EncoderConfig
from showtell.encoder.cnn import CNNEncoder
from tests.conftest import make_tiny_backbone
from tests.encoder.folders import as_transformers, save_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny ResNet as `transformers` saves it."""
    return save_folder(tmp_path / "tiny", as_transformers(make_tiny_backbone()))


@pytest.fixture(scope="session")
def resnet50() -> CNNEncoder:
    """The included encoder, in fp32."""
    return CNNEncoder.from_config(EncoderConfig(precision="fp32"))
