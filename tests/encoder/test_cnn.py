"""CNNEncoder: the same features as plain transformers, frozen, named by all that decides them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import interpolate
from torch import Tensor, nn
from transformers import ResNetModel

from showtell.data.images import decode_image
from showtell.data.preprocess import normalize
from showtell.data.transforms import ImageTransform, resize_image, to_pixels
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.resnet import ResNet
from showtell.utils.shipped import MODELS, find_model
from tests.conftest import make_tiny_backbone, make_tiny_encoder
from tests.encoder.folders import as_transformers

DEFAULT = MODELS / "resnet50-imagenet"


def plain_grid(backbone: ResNetModel, images: Tensor) -> Tensor:
    """The grid by plain transformers, batch-norm and all: (B, R, D)."""
    with torch.no_grad():
        return backbone.eval()(images).last_hidden_state.flatten(2).transpose(1, 2)


def assert_same(features: Tensor, expected: Tensor, relative: float = 1e-4) -> None:
    """Both are alike to `relative` of the largest value."""
    assert features.shape == expected.shape
    assert (features.float() - expected).abs().max() <= relative * expected.abs().max()
    assert expected.std() > 0


def snapshot(encoder: CNNEncoder) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.state_dict().items()}


# The default encoder


def test_default_equals_plain_transformers(resnet50: CNNEncoder, photos: list[Path]) -> None:
    pixels = np.stack([to_pixels(resize_image(decode_image(path))) for path in photos[:2]])
    grid = resnet50.encode_pixels(pixels)
    assert grid.shape == (2, 49, 2048)
    assert grid.dtype == torch.float32
    assert resnet50.pool(grid).shape == (2, 2048)
    # What the model card says: RGB, 0..255, minus the ImageNet means.
    inputs = torch.from_numpy(pixels).float().permute(0, 3, 1, 2) - torch.tensor(
        [123.68, 116.779, 103.939]
    ).view(3, 1, 1)
    plain = ResNetModel.from_pretrained(DEFAULT, dtype=torch.float32).eval()
    assert_same(grid, plain_grid(plain, inputs))
    with torch.no_grad():
        assert_same(resnet50.pool(grid), plain(inputs).pooler_output.flatten(1))


def test_grid_runs_row_by_row_from_the_top_left(resnet50: CNNEncoder) -> None:
    grey = np.full((1, 224, 224, 3), 128, np.uint8)
    marked = grey.copy()
    marked[:, :32, 192:] = np.random.default_rng(0).integers(0, 255, (32, 32, 3))  # the top right cell
    change = (resnet50.encode_pixels(marked) - resnet50.encode_pixels(grey)).norm(dim=-1).view(7, 7)
    assert change.argmax() == 6


def test_images_of_any_proportions_share_a_call(resnet50: CNNEncoder) -> None:
    random = np.random.default_rng(0)
    shapes = [(224, 224), (192, 256), (256, 192), (192, 256), (128, 384), (224, 224)]
    pixels = [random.integers(0, 255, (*shape, 3), np.uint8) for shape in shapes]
    together = resnet50.encode_pixels(pixels)
    assert together.shape == (6, 49, 2048)
    for image, features in zip(pixels, together, strict=True):
        assert_same(features[None], resnet50.encode_pixels([image]))


def test_a_wide_grid_is_interpolated(resnet50: CNNEncoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (192, 256, 3), np.uint8)
    inputs = normalize(torch.from_numpy(pixels)[None])
    grid = plain_grid(as_transformers(resnet50.backbone), inputs)[0].view(6, 8, -1).numpy()
    # Independently: the value at the middle of each of 7 x 7 cells, linear between the middles of 6 x 8.
    rows, columns = (np.clip((np.arange(7) + 0.5) * side / 7 - 0.5, 0, side - 1) for side in (6, 8))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    expected = interpolate.interpn((np.arange(6), np.arange(8)), grid, places).reshape(1, 49, -1)
    assert_same(resnet50.encode_pixels([pixels]), torch.from_numpy(expected).float())


def test_where_a_wide_image_is_marked_its_grid_changes(resnet50: CNNEncoder) -> None:
    grey = np.full((192, 256, 3), 128, np.uint8)
    marked = grey.copy()
    marked[:32, 224:] = np.random.default_rng(0).integers(0, 255, (32, 32, 3))
    before, after = resnet50.encode_pixels([grey, marked])
    assert (after - before).norm(dim=-1).argmax() == 6


def test_bf16_is_close(resnet50: CNNEncoder, photos: list[Path]) -> None:
    pixels = [resnet50.transform.pixels(photos[0])]
    fast = CNNEncoder(resnet50.backbone, resnet50.transform, "bf16")
    features, expected = fast.encode_pixels(pixels), resnet50.encode_pixels(pixels)
    assert features.dtype == torch.bfloat16
    assert_same(features, expected, 0.05)
    assert torch.cosine_similarity(fast.pool(features).float(), resnet50.pool(expected)).min() > 0.999


# Loading


@pytest.mark.parametrize("size", [32, 64, 100, 224, 250])
def test_grid_of_any_image_size(size: int) -> None:
    encoder = make_tiny_encoder(size=size)
    grid = encoder.encode_pixels([np.zeros((size, size, 3), np.uint8)])
    assert grid.shape == (1, encoder.grid_cells, encoder.feature_dim)


def test_folding_is_exact_for_random_statistics(tiny_encoder: CNNEncoder) -> None:
    images = torch.randn(3, 3, 64, 64)
    assert_same(tiny_encoder(images), plain_grid(as_transformers(tiny_encoder.backbone), images))


def test_names_that_find_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model("resnet50-imagenet") == DEFAULT
    monkeypatch.chdir(folder.parent)
    assert find_model("tiny") == Path("tiny")
    assert find_model("nobody/nothing") is None
    assert find_model("x" * 5000) is None


# Frozen


def test_nothing_changes(tiny_encoder: CNNEncoder) -> None:
    before = snapshot(tiny_encoder)
    owner = nn.Sequential(tiny_encoder)
    owner.train()
    assert not any(module.training for module in tiny_encoder.modules())
    assert not any(parameter.requires_grad for parameter in tiny_encoder.parameters())
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    assert not owner(images).requires_grad
    for name, tensor in tiny_encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_state_dict_is_the_backbones(tiny_encoder: CNNEncoder) -> None:
    before = list(tiny_encoder.state_dict())
    tiny_encoder(torch.randn(1, 3, 64, 64))
    assert list(tiny_encoder.state_dict()) == before
    assert before == [f"backbone.{name}" for name in tiny_encoder.backbone.state_dict()]


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("assign", [False, True])
def test_loading_a_state_dict_takes_effect(owned: bool, assign: bool) -> None:
    encoder, other = make_tiny_encoder(0), make_tiny_encoder(1)
    images = torch.randn(1, 3, 64, 64)
    encoder(images)
    if owned:  # as a part of a captioner, whose state dictionary is loaded as a whole
        nn.ModuleDict({"encoder": encoder}).load_state_dict(
            nn.ModuleDict({"encoder": other}).state_dict(), assign=assign
        )
    else:
        encoder.load_state_dict(other.state_dict(), assign=assign)
    assert torch.equal(encoder(images), other(images))
    assert encoder.fingerprint() == other.fingerprint()


def test_moving_takes_effect(tiny_encoder: CNNEncoder) -> None:
    images = torch.randn(1, 3, 64, 64)
    before = tiny_encoder(images)
    tiny_encoder.half()
    after = tiny_encoder(images)
    assert not torch.equal(after, before)
    assert_same(after, before, 0.01)


def test_autocast_around_it_changes_nothing(tiny_encoder: CNNEncoder) -> None:
    images = torch.randn(1, 3, 64, 64)
    before = tiny_encoder(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tiny_encoder(images), before)


def test_pickled_after_use(tiny_encoder: CNNEncoder) -> None:
    images = torch.randn(1, 3, 64, 64)
    before = tiny_encoder(images)
    again = pickle.loads(pickle.dumps(tiny_encoder))
    assert torch.equal(again(images), before)
    assert again.fingerprint() == tiny_encoder.fingerprint()


# Fingerprints


def change_weight(encoder: CNNEncoder) -> CNNEncoder:
    encoder.state_dict()["backbone.encoder.stages.2.layers.0.layer.1.convolution.weight"][3, 1, 0, 2] += 1e-3
    return encoder


def change_statistics(encoder: CNNEncoder) -> CNNEncoder:
    encoder.state_dict()["backbone.embedder.embedder.normalization.running_var"][0] *= 1.001
    return encoder


def change_mean(encoder: CNNEncoder) -> CNNEncoder:
    transform = ImageTransform(64, (0.5, 0.4, 0.31), encoder.transform.std)
    return CNNEncoder(encoder.backbone, transform, "fp32")


CHANGES: dict[str, Callable[[CNNEncoder], CNNEncoder]] = {
    "weight": change_weight,
    "statistics": change_statistics,
    "mean": change_mean,
    "size": lambda encoder: make_tiny_encoder(size=96),
    "precision": lambda encoder: make_tiny_encoder(precision="bf16"),
    "grid": lambda encoder: CNNEncoder(encoder.backbone, encoder.transform, "fp32", grid_side=3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fingerprint_changes_with(change: Callable[[CNNEncoder], CNNEncoder]) -> None:
    assert change(make_tiny_encoder()).fingerprint() != make_tiny_encoder().fingerprint()


def test_fingerprint_changes_with_the_architecture() -> None:
    encoder = make_tiny_encoder()
    other = ResNet(replace(encoder.backbone.settings, downsample_in_bottleneck=True))  # other strides
    other.load_state_dict(encoder.backbone.state_dict())
    assert CNNEncoder(other, encoder.transform, "fp32").fingerprint() != encoder.fingerprint()


# What cannot be loaded


def test_the_grid_of_twice_the_size_is_interpolated_which_is_the_mean_of_four_cells(
    photos: list[Path],
) -> None:
    transform = make_tiny_encoder(size=128).transform
    pixels = [np.asarray(transform.pixels(path, "crop")) for path in photos]  # squares
    natural, coarse = (CNNEncoder(make_tiny_backbone(), transform, "fp32", grid_side=s) for s in (None, 2))
    grids = natural.encode_pixels(pixels).reshape(len(photos), 2, 2, 2, 2, 128)  # rows, in it, columns, in it
    expected = grids.mean(dim=(2, 4)).flatten(1, 2)
    torch.testing.assert_close(coarse.encode_pixels(pixels), expected, rtol=1e-4, atol=1e-4)


def test_the_fingerprint_names_the_grid_where_the_size_does_not_decide_it() -> None:
    backbone, transform = make_tiny_backbone(), ImageTransform(96)
    natural = CNNEncoder(backbone, transform, "fp32")
    same, other = (CNNEncoder(backbone, transform, "fp32", grid_side=side) for side in (3, 2))
    assert same.fingerprint() == natural.fingerprint()
    assert other.fingerprint() != natural.fingerprint()
    assert (natural.grid_cells, other.grid_cells) == (9, 4)
    with pytest.raises(ValueError, match="one row at least"):
        CNNEncoder(backbone, transform, grid_side=0)
