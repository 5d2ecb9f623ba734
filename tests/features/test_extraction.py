"""Extracting the features of a dataset, by the encoder itself or by an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from showtell.captioning.captioner import Captioner
from showtell.config import CacheConfig
from showtell.data.records import CaptionedImage, Split
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import DataError, UsageError
from showtell.features.extraction import (
    compute_table,
    extract_features,
    feature_encoder,
    table_bytes,
    views_of,
)
from showtell.features.store import FeatureStore
from showtell.runtime.exported import ExportedEncoder
from tests.conftest import make_tiny_encoder


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_store_of_another_runtime_is_another_store(
    runtime: str, exported: Path, tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path
) -> None:
    wanted = [(path, "full") for path in snippets[:6]]
    stores = [
        FeatureStore(tmp_path, encoder)
        for encoder in (tiny_captioner.encoder, ExportedEncoder.load(exported, runtime))
    ]
    assert stores[0].folder != stores[1].folder
    assert runtime in (stores[1].folder / "store.json").read_text()
    for store in stores:
        assert store.plan(wanted).missing == 6
        assert store.extract(wanted).extracted == 6
    for path in snippets[:6]:
        rows = [store[store.row(path)].astype(np.float32) for store in stores]
        np.testing.assert_allclose(rows[0], rows[1], rtol=1e-2, atol=1e-2)
    again = FeatureStore(tmp_path, ExportedEncoder.load(exported, runtime))
    assert not again.missing(wanted)


def test_an_exported_encoder_takes_the_place_of_its_own_only(exported: Path, tmp_path: Path) -> None:
    own, other = make_tiny_encoder(), make_tiny_encoder(seed=1)
    assert feature_encoder(CacheConfig(), own) is own
    config = CacheConfig(exported=str(exported))
    assert isinstance(feature_encoder(config, own), ExportedEncoder)
    for wrong in (other, make_tiny_encoder(size=96)):
        with pytest.raises(UsageError, match="other encoder weights"):
            feature_encoder(config, wrong)
    with pytest.raises(UsageError, match="no exported model there"):
        feature_encoder(CacheConfig(exported=str(tmp_path)), own)


def dataset(paths: Sequence[Path]) -> list[CaptionedImage]:
    """Two images of three for training, the third for validation."""
    splits: tuple[Split, ...] = ("train", "train", "val")
    return [
        CaptionedImage(path, ("a dog",), splits[number % 3], path.name) for number, path in enumerate(paths)
    ]


def test_training_images_have_views_and_all_others_are_taken_whole() -> None:
    images = dataset([Path("a"), Path("b"), Path("c")])
    assert views_of(images, ("full", "flip")) == [
        (Path("a"), "full"),
        (Path("a"), "flip"),
        (Path("b"), "full"),
        (Path("b"), "flip"),
        (Path("c"), "full"),
    ]
    assert table_bytes(make_tiny_encoder(), 5) == 5 * (2 * 2) * 128 * 2  # rows, grid, features, fp16


@pytest.mark.parametrize("in_memory", [False, True])
def test_images_that_cannot_be_decoded_are_left_out_on_demand(
    in_memory: bool,
    tmp_path: Path,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    images = dataset([*snippets[:4], bad, snippets[5]])

    def extract(images: list[CaptionedImage], *, skip_bad: bool) -> list[CaptionedImage]:
        if in_memory:
            return compute_table(tiny_encoder, images, ("full", "flip"), skip_bad=skip_bad)[1]
        store = FeatureStore(tmp_path / "cache", tiny_encoder)
        return extract_features(store, images, ("full", "flip"), skip_bad=skip_bad)

    with pytest.raises(DataError, match=r"bad\.jpg: .*--skip-bad"):
        extract(images, skip_bad=False)
    with caplog.at_level("INFO", "showtell"):
        assert extract(images, skip_bad=True) == [image for image in images if image.path != bad]
    assert "10 feature rows" in caplog.text
    assert f"dropped 1: photo that cannot be decoded, the first: {bad}" in caplog.text
    only_bad = [*images[:2], replace(images[2], path=bad)]
    with pytest.raises(DataError, match="no validation image can be decoded"):
        extract(only_bad, skip_bad=True)


def test_features_that_are_cached_are_not_extracted_again(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = dataset(snippets[:3])
    store = FeatureStore(tmp_path, tiny_encoder)
    assert extract_features(store, images, ("full", "flip"), skip_bad=False) == images
    assert len(store) == 5
    monkeypatch.setattr(tiny_encoder, "encode_pixels", None)
    assert extract_features(store, images, ("full", "flip"), skip_bad=False) == images
