"""What training does about photos that cannot be decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from showtell.config import CacheConfig, DataConfig, RunConfig
from showtell.data.online_images import OnlineImages
from showtell.data.records import CaptionedImage, Split
from showtell.data.vocabulary import build_vocab
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import DataError
from showtell.features.store import CachedFeatures
from showtell.training.setup import caption_sets, image_source, new_captioner
from tests.conftest import tiny_decoder_config

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
    with pytest.raises(DataError, match=r"page\.jpg: .*; replace it, or leave such photos .* --skip-bad$"):
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


def test_a_new_captioner_depends_on_the_global_seed(tiny_encoder: CNNEncoder) -> None:
    run = RunConfig(decoder=tiny_decoder_config(8))
    vocabulary = build_vocab(["a dog"], 1)
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(new_captioner(run, tiny_encoder, vocabulary).decoder.state_dict()["embedding.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_only_captions_that_are_trained_on_are_cut(tiny_encoder: CNNEncoder) -> None:
    text = "a dog runs and runs and runs"
    images = [CaptionedImage(Path(f"{s}.jpg"), (text,), s, s) for s in ("val", "train", "test")]
    run = RunConfig(data=DataConfig(max_caption_length=3))
    vocabulary = build_vocab([text], 1)
    train, val = caption_sets(run, images, vocabulary, lambda image, draw: torch.zeros(4, 128))
    assert [[image.image_id for image in part.images] for part in (train, val)] == [["train"], ["val"]]
    cut, whole = (vocabulary.decode(captions[0].tolist()) for _, captions in (train[0], val[0]))
    assert list(cut) == text.split()[:3]
    assert list(whole) == text.split()


@pytest.mark.parametrize(("features", "kind"), [("online", OnlineImages), ("cached", CachedFeatures)])
def test_where_the_tensors_come_from(
    features: str, kind: type, snippets: list[Path], tmp_path: Path, tiny_encoder: CNNEncoder
) -> None:
    images = dataset(snippets, tmp_path)
    load, shown = image_source(config(tmp_path, features, skip_bad=False), tiny_encoder, images)
    assert isinstance(load, kind)
    assert shown == images
    assert load(images[0], None).shape == ((3, 64, 64) if features == "online" else (4, 128))
