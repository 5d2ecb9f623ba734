"""FeatureTable: the features of the cache, gathered batch by batch."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from showtell.data.dataset import CaptionDataset, CaptionLoader, EvalLoader
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import FeatureStoreError, ImageError
from showtell.features.encoding import ExtractionReport, ImageView
from showtell.features.table import FeatureTable
from tests.features.rows import overflow_third_image

CAPTIONS = ("a dog", "a cat on a mat")


def compute(
    encoder: CNNEncoder, wanted: list[ImageView], *, skip_bad: bool = False
) -> tuple[FeatureTable, ExtractionReport]:
    report = ExtractionReport()
    return FeatureTable.compute(encoder, wanted, ("full", "flip"), report, skip_bad=skip_bad), report


def test_loaders_give_the_features_of_the_views(tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    views: tuple[ImageView, ...] = tuple((p, v) for p in snippets for v in ("full", "flip"))  # type: ignore[misc]
    table, report = compute(tiny_encoder, [*views, *views])
    assert report.extracted == len(table.features) == 80
    expected = {
        (path, view): tiny_encoder.encode_pixels([tiny_encoder.transform.pixels(path, view)])[0]
        for path, view in views
    }
    images = [CaptionedImage(path, CAPTIONS, "train", path.name) for path in snippets]
    dataset = CaptionDataset(images, build_vocab(CAPTIONS, 1), table)
    whole = list(EvalLoader(dataset, batch_size=16))
    for batch in whole:
        for number, features in zip(batch.number.tolist(), batch.images, strict=True):
            torch.testing.assert_close(
                features.float(), expected[snippets[number], "full"], rtol=2e-3, atol=2e-3
            )
    taken = set()
    for batch in CaptionLoader(dataset, batch_size=16, seed=0):
        for number, features in zip(batch.number.tolist(), batch.images, strict=True):
            apart = {
                v: float((features - expected[snippets[number], v]).abs().max()) for v in ("full", "flip")
            }
            nearest = min(apart, key=lambda view: apart[view])
            assert apart[nearest] < 0.01
            taken.add(nearest)
    assert taken == {"full", "flip"}


def test_images_that_cannot_be_decoded(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    wanted: list[ImageView] = [(snippets[0], "full"), (bad, "full"), (bad, "flip"), (snippets[1], "full")]
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        compute(tiny_encoder, wanted)
    table, report = compute(tiny_encoder, wanted, skip_bad=True)
    assert [error.source for error in report.failed] == [str(bad)]
    assert set(table.rows) == {(snippets[0], "full"), (snippets[1], "full")}


def test_processes_that_load_batches_get_no_features(tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    table, _ = compute(tiny_encoder, [(path, "full") for path in snippets])
    assert len(pickle.dumps(table)) < table.features.nbytes / 2


def test_features_that_are_not_finite_are_refused(
    tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_third_image(tiny_encoder, monkeypatch)
    with pytest.raises(FeatureStoreError, match=rf"{snippets[2].name}: its features \(full\) are not finite"):
        compute(tiny_encoder, [(path, "full") for path in snippets[:4]])
