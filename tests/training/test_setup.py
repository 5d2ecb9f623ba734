"""What training does about photos that cannot be decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from showtell.config import CacheConfig, DataConfig, RunConfig
from showtell.data.online_images import OnlineImages
from showtell.data.records import CaptionedImage, Split
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import DataError
from showtell.training.setup import image_source

BROKEN = {"page.jpg": b"<html>404</html>", "cut.png": b"\x89PNG\r\n\x1a\n\0", "empty.jpg": b""}


def dataset(photos: list[Path], folder: Path, *broken: tuple[str, Split]) -> list[CaptionedImage]:
    splits: list[Split] = ["train", "train", "val"]
    images = [
        CaptionedImage(path, ("a dog",), split, path.name)
        for path, split in zip(photos[:3], splits, strict=True)
    ]
    for name, split in broken:
        (folder / name).write_bytes(BROKEN[name])
        images.append(CaptionedImage(folder / name, ("a dog",), split, name))
    return images


def config(folder: Path, features: str, *, skip_bad: bool) -> RunConfig:
    settings = RunConfig(cache=CacheConfig(dir=str(folder / "cache"), views=("full",)))
    return replace(settings, features=features, data=DataConfig(skip_bad=skip_bad))  # type: ignore[arg-type]


@pytest.mark.parametrize("features", ["online", "cached"])
@pytest.mark.parametrize("name", BROKEN)
def test_photos_that_cannot_be_decoded_are_left_out_in_every_mode(
    snippets: list[Path], tmp_path: Path, tiny_encoder: CNNEncoder, features: str, name: str
) -> None:
    images = dataset(snippets, tmp_path, (name, "train"))
    load, shown = image_source(config(tmp_path, features, skip_bad=True), tiny_encoder, images)
    assert [image.image_id for image in shown] == [path.name for path in snippets[:3]]
    assert all(isinstance(load(image, None), torch.Tensor) for image in shown)


def test_without_skip_bad_the_message_names_it(
    snippets: list[Path], tmp_path: Path, tiny_encoder: CNNEncoder
) -> None:
    images = dataset(snippets, tmp_path, ("page.jpg", "train"))
    with pytest.raises(DataError, match=r"page\.jpg: .*; mend it, or leave such photos out .* --skip-bad$"):
        image_source(config(tmp_path, "cached", skip_bad=False), tiny_encoder, images)


@pytest.mark.parametrize("features", ["online", "cached"])
@pytest.mark.parametrize(("split", "name"), [("train", "training"), ("val", "validation")])
def test_no_photo_left_of_a_split_is_said(
    snippets: list[Path], tmp_path: Path, tiny_encoder: CNNEncoder, features: str, split: Split, name: str
) -> None:
    images = dataset(snippets, tmp_path, ("page.jpg", split))
    images = [image for image in images if image.split != split or image.image_id in BROKEN]
    with pytest.raises(DataError, match=rf"^no {name} image can be decoded, the first: .*page\.jpg"):
        image_source(config(tmp_path, features, skip_bad=True), tiny_encoder, images)


def test_online_images_name_the_way_out(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    image = CaptionedImage(tmp_path / "gone.jpg", ("a dog",), "train", "1")
    with pytest.raises(DataError, match=r"gone\.jpg: no such file; .*--skip-bad"):
        OnlineImages(tiny_encoder.transform)(image, 3)
