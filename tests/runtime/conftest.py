"""Tiny models, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from showtell.captioner import Captioner
from showtell.export.folder import export_model
from tests.commands.test_caption import save_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner of random words."""
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_captioner(tiny_model: Path) -> Captioner:
    """It, in PyTorch, in fp32."""
    captioner = Captioner.load(str(tiny_model), device=torch.device("cpu"))
    captioner.encoder.precision = "fp32"
    return captioner


@pytest.fixture(scope="session")
def exported(tiny_captioner: Captioner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, exported in fp32."""
    folder = tmp_path_factory.mktemp("exported") / "fp32"
    export_model(tiny_captioner, "tiny", folder)
    return folder
