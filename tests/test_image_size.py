"""A trained model at another image size: the grid of its features stays that of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from showtell.captioning.base import CaptioningModel
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.model_file import read_model
from showtell.config import CacheConfig
from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, UsageError
from showtell.exporting.folder import export_model
from showtell.exporting.hub_folder import write_hub_folder
from showtell.features.extraction import feature_encoder
from showtell.runtime.exported import ExportedCaptioner
from tests.captioning.test_captioner import rewrite_header
from tests.commands.test_caption import save_model
from tests.conftest import make_tiny_backbone, make_tiny_encoder, save_backbone

TRAINED, OTHER = 64, 128  # of `tiny_model`; its grid is 2 x 2


def load(folder: Path, image_size: int | None = None) -> Captioner:
    captioner = Captioner.load(str(folder), device=torch.device("cpu"), image_size=image_size)
    captioner.encoder.precision = "fp32"
    return captioner


def said(model: CaptioningModel, photos: Sequence[Path]) -> list[str]:
    return [found[0].text for found in model.caption(photos)]


def test_at_the_trained_size_nothing_changes(tiny_model: Path, photos: list[Path]) -> None:
    plain, sized = load(tiny_model), load(tiny_model, TRAINED)
    assert sized.caption(photos) == plain.caption(photos)
    assert sized.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("size", [96, OTHER])
def test_at_another_size_it_captions_and_attends_on_the_decoder_s_grid(
    size: int, tiny_model: Path, photos: list[Path]
) -> None:
    model = load(tiny_model, size)
    assert model.transform.size == size
    for (caption,) in model.caption(photos, attention=True):
        assert caption.attention is not None
        assert caption.attention.shape == (len(caption.words), 2, 2)
    assert said(model, photos) != said(load(tiny_model), photos)


def test_the_grid_of_twice_the_size_is_interpolated_which_is_the_mean_of_four_cells(
    tiny_model: Path, photos: list[Path]
) -> None:
    backbone = load(tiny_model).encoder.backbone
    model = load(tiny_model, OTHER)
    pixels = [np.asarray(model.transform.pixels(path, "crop")) for path in photos]  # squares
    natural = CNNEncoder(backbone, model.transform, "fp32")
    grids = natural.encode_pixels(pixels).reshape(len(photos), 2, 2, 2, 2, 128)  # rows, in it, columns, in it
    expected = grids.mean(dim=(2, 4)).flatten(1, 2)
    torch.testing.assert_close(model.encode_pixels(pixels), expected, rtol=1e-4, atol=1e-4)


def test_the_encoder_s_fingerprint_tells_the_grid_where_the_size_does_not() -> None:
    backbone, transform = make_tiny_backbone(), ImageTransform(96)
    natural = CNNEncoder(backbone, transform, "fp32")
    same, other = (CNNEncoder(backbone, transform, "fp32", grid_side=side) for side in (3, 2))
    assert same.fingerprint() == natural.fingerprint()
    assert other.fingerprint() != natural.fingerprint()
    assert (natural.grid_cells, other.grid_cells) == (9, 4)
    with pytest.raises(ValueError, match="one row at least"):
        CNNEncoder(backbone, transform, grid_side=0)


# ---- the file


@pytest.mark.parametrize("with_encoder", [True, False])
def test_saved_at_another_size_it_is_the_same_again(
    with_encoder: bool, tiny_model: Path, photos: list[Path], tmp_path: Path
) -> None:
    model = load(tiny_model, OTHER)
    model.encoder_name = str(save_backbone(tmp_path / "encoder", make_tiny_backbone()))
    model.save(tmp_path / "again", with_encoder=with_encoder)
    described = read_model(str(tmp_path / "again"))[1]["encoder"]
    assert (described["transform"]["size"], described["grid_side"]) == (OTHER, 2)
    again = load(tmp_path / "again")
    assert again.caption(photos) == model.caption(photos)
    assert again.fingerprint() == model.fingerprint()
    assert load(tmp_path / "again", TRAINED).caption(photos) == load(tiny_model).caption(photos)


def test_the_file_tells_the_grid_only_where_the_size_does_not(tiny_model: Path, tmp_path: Path) -> None:
    header = read_model(str(tiny_model))[1]
    assert "grid_side" not in header["encoder"]  # as it has always been
    load(tiny_model, OTHER).save(tmp_path / "other")
    load(tmp_path / "other", TRAINED).save(tmp_path / "back")
    assert read_model(str(tmp_path / "back"))[1] == header


@pytest.mark.parametrize("side", [0, -2, 3, "two", [2], 2.5, True])
def test_a_damaged_grid_is_refused_in_a_line(side: object, tmp_path: Path) -> None:
    path = load(save_model(tmp_path / "a"), OTHER).save(tmp_path)
    encoder = read_model(str(tmp_path))[1]["encoder"]
    rewrite_header(path, encoder=encoder | {"grid_side": side})
    with pytest.raises(CheckpointError) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("size", [63, 0, -224, 1025])
def test_sizes_out_of_range_are_refused(size: int, tiny_model: Path, exported: Path) -> None:
    with pytest.raises(UsageError, match=f"^image size {size}: choose 64 to 1024 pixels$"):
        load(tiny_model, size)
    with pytest.raises(UsageError, match="64 to 1024"):
        ExportedCaptioner(exported, "onnx", size)


def test_a_hub_folder_keeps_the_size(tiny_model: Path, photos: list[Path], tmp_path: Path) -> None:
    model = load(tiny_model, OTHER)
    write_hub_folder(model, tiny_model, "tiny", tmp_path / "hub")
    again = Captioner.from_pretrained(tmp_path / "hub", device="cpu")
    again.encoder.precision = "fp32"
    assert again.caption(photos) == model.caption(photos)
    small = Captioner.from_pretrained(tmp_path / "hub", device="cpu", image_size=TRAINED)
    small.encoder.precision = "fp32"
    assert small.caption(photos) == load(tiny_model).caption(photos)


def test_an_ensemble_takes_it(tiny_model: Path, photos: list[Path]) -> None:
    names = [str(tiny_model)] * 2
    both = Captioner.load_ensemble(names, device=torch.device("cpu"), image_size=OTHER)
    both.encoder.precision = "fp32"
    assert said(both, photos) == said(load(tiny_model, OTHER), photos)


def test_models_of_other_grids_are_no_ensemble(tiny_model: Path, tmp_path: Path) -> None:
    wider = CNNEncoder(make_tiny_backbone(), make_tiny_encoder().transform, "fp32", grid_side=3)
    model = load(tiny_model)
    # Its decoder has no weights that depend on the grid, so that only the encoders differ.
    pooled = load(save_model(tmp_path / "a", "pooled"))
    Captioner(wider, pooled.decoder, model.vocabulary, "tiny").save(tmp_path / "b")
    with pytest.raises(CheckpointError, match="another encoder"):
        Captioner.load_ensemble([str(tmp_path / name) for name in "ab"], image_size=OTHER)


# ---- exported


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_an_exported_model_takes_it(
    runtime: str, exported: Path, tiny_model: Path, snippets: list[Path]
) -> None:
    sized, own = ExportedCaptioner(exported, runtime, OTHER), ExportedCaptioner(exported, runtime)
    assert sized.transform.size == sized.encoder.transform.size == OTHER
    assert said(sized, snippets[:12]) == said(load(tiny_model, OTHER), snippets[:12])
    assert said(sized, snippets[:12]) != said(own, snippets[:12])
    assert sized.fingerprint() != own.fingerprint()
    assert ExportedCaptioner(exported, runtime, TRAINED).fingerprint() == own.fingerprint()


@pytest.mark.slow
def test_an_export_at_another_size_is_for_that_size(
    tiny_model: Path, snippets: list[Path], tmp_path: Path
) -> None:
    model = load(tiny_model, 96)
    manifest = export_model(model, "tiny", tmp_path / "out")
    assert (manifest.transform.size, manifest.grid_cells) == (96, 4)
    found = ExportedCaptioner(tmp_path / "out", "onnx")
    assert said(found, snippets[:12]) == said(model, snippets[:12])
    config = CacheConfig(exported=str(tmp_path / "out"))
    assert feature_encoder(config, model.encoder).grid_cells == 4
    with pytest.raises(UsageError, match="another image size"):  # of 3 x 3 cells
        feature_encoder(config, make_tiny_encoder(size=96))
