"""Encoding in batches: images that cannot be decoded, and features that are not finite."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import FeatureStoreError, ImageError
from showtell.features.encoding import ExtractionReport, ImageView, encode_views, require_finite
from showtell.features.store import FeatureStore
from tests.features.rows import assert_rows_right, copy_photos, full, overflow_third_image

pytestmark = pytest.mark.usefixtures("several_batches")


def test_features_that_are_not_finite_are_not_cached(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_third_image(tiny_encoder, monkeypatch)
    store = FeatureStore(tmp_path, tiny_encoder)
    with pytest.raises(FeatureStoreError, match=rf"{snippets[2].name}: its features \(full\) are not finite"):
        store.extract(full(snippets[:4]))
    assert len(store) == 0


@pytest.fixture
def with_bad(tmp_path: Path, snippets: list[Path]) -> list[Path]:
    """Forty photos, the 20th damaged and the 30th missing."""
    paths = copy_photos(snippets, tmp_path / "photos")
    paths[20].write_bytes(paths[20].read_bytes()[:300])
    paths[30].unlink()
    return paths


def test_strict_stops_and_keeps_what_was_done(
    tmp_path: Path, tiny_encoder: CNNEncoder, with_bad: list[Path]
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    with pytest.raises(ImageError) as caught:
        store.extract(full(with_bad))
    assert caught.value.source == str(with_bad[20])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    with FileLock(store.folder / "lock", timeout=0):  # it is free, though the error is still at hand
        pass
    for reader in (store, FeatureStore(tmp_path, tiny_encoder)):
        assert len(reader) == 16
        assert_rows_right(reader, full(with_bad[:16]))


def test_skip_bad_reports_each_image_once(
    tmp_path: Path, tiny_encoder: CNNEncoder, with_bad: list[Path]
) -> None:
    wanted: list[ImageView] = [(path, view) for path in with_bad for view in ("full", "flip")]
    done: list[int] = []
    store = FeatureStore(tmp_path, tiny_encoder)
    report = store.extract(wanted, skip_bad=True, progress=done.append)
    assert [error.source for error in report.failed] == [str(with_bad[20]), str(with_bad[30])]
    assert [error.reason for error in report.failed][1] == "no such file"
    assert report.extracted == len(store) == 76
    assert sum(done) == 80
    good = [item for item in wanted if item[0] not in (with_bad[20], with_bad[30])]
    assert_rows_right(store, good)
    assert store.missing(wanted) == [item for item in wanted if item not in good]


def test_only_bad_images(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    wanted = full(tmp_path / f"{i}.jpg" for i in range(20))
    assert len(store.extract(wanted, skip_bad=True).failed) == 20
    assert len(store) == 0


class BrightnessEncoder:
    """An encoder whose feature of an image is its mean brightness."""

    transform = ImageTransform(8)
    grid_cells = feature_dim = 1
    batch_size = 2
    device_type, producer = "cpu", "test"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def fingerprint(self) -> str:
        return "brightness"

    def encode_pixels(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        self.batches.append(len(pixels))
        return np.array([image.mean() for image in pixels], np.float32).reshape(-1, 1, 1)


def gray(folder: Path, levels: Sequence[int]) -> list[Path]:
    """Photos of one gray level each, and no image where it is negative."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number, _ in enumerate(levels)]
    for path, level in zip(paths, levels, strict=True):
        if level < 0:
            path.write_bytes(b"no image")
        else:
            Image.new("L", (8, 8), level).save(path)
    return paths


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-80, 255), max_size=9))
def test_each_view_gets_the_features_of_its_own_image(tmp_path: Path, levels: list[int]) -> None:
    shutil.rmtree(tmp_path / "gray", ignore_errors=True)
    paths = gray(tmp_path / "gray", levels)
    encoder, report, done = BrightnessEncoder(), ExtractionReport(), list[int]()
    wanted: list[ImageView] = [(path, view) for path in paths for view in ("full", "flip")]
    encoded = encode_views(encoder, wanted, report, skip_bad=True, progress=done.append)
    features = {
        item: float(row.mean()) for items, rows in encoded for item, row in zip(items, rows, strict=True)
    }
    good = {path: level for path, level in zip(paths, levels, strict=True) if level >= 0}
    assert features == {(path, view): level for path, level in good.items() for view in ("full", "flip")}
    assert report.extracted == sum(encoder.batches) == 2 * len(good)
    assert [error.source for error in report.failed] == [str(path) for path in paths if path not in good]
    assert sum(done) == 2 * len(levels)
    assert max(encoder.batches, default=0) <= encoder.batch_size


def test_features_that_are_not_finite_are_named_by_image_and_view() -> None:
    items: list[ImageView] = [(Path("a.jpg"), "full"), (Path("b.jpg"), "flip")]
    require_finite([True, True], items)
    with pytest.raises(FeatureStoreError, match=r"^b\.jpg: its features \(flip\) are not finite .*fp32$"):
        require_finite([True, False], items)
