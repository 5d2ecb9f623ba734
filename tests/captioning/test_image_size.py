"""A trained model at another image size: the grid of its features stays that of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from showtell.captioning.base import CaptioningModel
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.model_file import read_model
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, UsageError
from showtell.exporting.hub_folder import write_hub_folder
from tests.captioning.test_captioner import rewrite_header
from tests.commands.test_caption import save_model
from tests.conftest import make_tiny_backbone, make_tiny_encoder, save_backbone

TRAINED, OTHER = 64, 128  # of `tiny_model`; its grid is 2 x 2


def load(folder: Path, image_size: int | None = None) -> Captioner:
    captioner = Captioner.load(str(folder), device=torch.device("cpu"), image_size=image_size)
    captioner.encoder.precision = "fp32"
    return captioner


def texts(model: CaptioningModel, photos: Sequence[Path]) -> list[str]:
    return [captions[0].text for captions in model.caption(photos)]


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
    assert texts(model, photos) != texts(load(tiny_model), photos)


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


def test_the_file_has_the_grid_only_where_the_size_does_not_decide_it(
    tiny_model: Path, tmp_path: Path
) -> None:
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
def test_sizes_out_of_range_are_refused(size: int, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=f"^image size {size}: choose 64 to 1024 pixels$"):
        load(tiny_model, size)


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
    assert texts(both, photos) == texts(load(tiny_model, OTHER), photos)


def test_models_of_other_grids_are_no_ensemble(tiny_model: Path, tmp_path: Path) -> None:
    wider = CNNEncoder(make_tiny_backbone(), make_tiny_encoder().transform, "fp32", grid_side=3)
    model = load(tiny_model)
    # Its decoder has no weights that depend on the grid, so that only the encoders differ.
    pooled = load(save_model(tmp_path / "a", "pooled"))
    Captioner(wider, pooled.decoder, model.vocabulary, "tiny").save(tmp_path / "b")
    with pytest.raises(CheckpointError, match="another encoder"):
        Captioner.load_ensemble([str(tmp_path / name) for name in "ab"], image_size=OTHER)
