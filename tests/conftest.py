"""Fixtures that all tests may use: a tiny encoder, photographs, and the data beside the repository."""

from __future__ import annotations

import json
import logging
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # no test downloads; read when the hub's client is first imported

from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import skimage.data
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderConfig, Precision
from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.resnet import ResNet, ResNetSettings

hypothesis.settings.register_profile("showtell", deadline=None, max_examples=40)  # nothing asserts speed
hypothesis.settings.load_profile("showtell")
torch.set_num_threads(1)  # tiny networks gain nothing by more, and lose much on a busy machine

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


def make_tiny_backbone(seed: int = 0) -> ResNet:
    """A ResNet of four thin bottlenecks with random weights and batch-norm statistics."""
    torch.manual_seed(seed)
    backbone = ResNet(ResNetSettings(embedding_size=8, hidden_sizes=(16, 32, 64, 128), depths=(1, 1, 1, 1)))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    randomise_batch_norm(backbone)
    return backbone


def save_backbone(folder: Path, backbone: ResNet) -> Path:
    """Write a folder as `transformers` writes it (a test of the encoder compares with it)."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(backbone.state_dict(), folder / "model.safetensors")
    config = {"model_type": "resnet", **backbone.settings.to_json()}
    (folder / "config.json").write_text(json.dumps(config))
    preprocessor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def randomise_batch_norm(network: nn.Module) -> None:
    """Give every batch-norm statistics, scale and shift that matter."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, 0, 0.3)
            nn.init.uniform_(norm.running_var, 0.3, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)


def make_tiny_encoder(seed: int = 0, size: int = 64, precision: Precision = "fp32") -> CNNEncoder:
    """An encoder that takes a millisecond an image; 64 pixels: (B, 4, 128)."""
    transform = ImageTransform(size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    return CNNEncoder(make_tiny_backbone(seed), transform, precision)


def tiny_decoder_config(units: int, **more: Any) -> DecoderConfig:
    """Settings of a decoder of so many units in every layer, with two attention heads."""
    return DecoderConfig(
        embedding_dim=units, hidden_dim=units, attention_dim=units, attention_heads=2, **more
    )


def make_snippets(folder: Path, count: int, side: int = 80) -> list[Path]:
    """Write `count` different pieces of a photograph as small files; the first ones are always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    photo, random = skimage.data.astronaut(), np.random.default_rng(0)
    paths = [folder / f"{i:04}.jpg" for i in range(count)]
    for path in paths:
        top, left = random.integers(0, 512 - side, 2)
        turned = np.rot90(photo[top : top + side, left : left + side], random.integers(4))
        Image.fromarray(np.roll(turned, random.integers(3), axis=2)).save(path, quality=95)
    return paths


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device at hand that models are tested on."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def untouched_logging() -> None:
    """Undo what a command that ran in this process, in a test before or in a fixture, set on the loggers."""
    logger = logging.getLogger("showtell")
    logger.handlers.clear()
    logger.propagate = True
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("showtell")]:
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).disabled = False  # `fileConfig` of other packages disables loggers


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute on the CPU, where a run that is repeated gives the same bits (a GPU adds in varying order)."""
    monkeypatch.setenv("SHOWTELL_DEVICE", "cpu")


@pytest.fixture
def tiny_encoder() -> CNNEncoder:
    """A tiny encoder of this test's own."""
    return make_tiny_encoder()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photographs that come with scikit-image, as JPEG files at their full size."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{name}.jpg" for name in PHOTOS]
    for path in paths:
        Image.fromarray(getattr(skimage.data, path.stem)()).save(path, quality=92)
    return paths


@pytest.fixture(scope="session")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty small photographs, all different."""
    return make_snippets(tmp_path_factory.mktemp("snippets"), 40)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data beside the repository; tests that ask for it are skipped where it is missing."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: it lies beside the repository, not in it")
    return folder.resolve()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner of random words."""
    from tests.commands.test_caption import save_model

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
    from showtell.exporting.folder import export_model

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    with FileLock(f"{folder}.lock"):  # one for all processes of pytest-xdist: exporting takes seconds
        if not folder.exists():
            export_model(tiny_captioner, "tiny", folder)
    return folder


@pytest.fixture(scope="session")
def hub_folder(tiny_captioner: Captioner, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, as a folder in the hub's conventions."""
    from showtell.exporting.hub_folder import write_hub_folder

    folder = tmp_path_factory.mktemp("hub") / "tiny"
    write_hub_folder(tiny_captioner, tiny_model, "tiny", folder)
    return folder
