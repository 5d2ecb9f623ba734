"""FeatureStore: right rows or none, whatever happened to the files, the photos or the process before."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.config import FeatureType
from showtell.data.records import CaptionedImage
from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import FeatureStoreError, ImageError
from showtell.features import checksums, encoding
from showtell.features import store as store_module
from showtell.features.checksums import checksum
from showtell.features.encoding import ImageView
from showtell.features.store import CachedFeatures, FeatureStore
from tests.conftest import make_tiny_encoder

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few photos of these tests do not all go through the encoder at once."""
    monkeypatch.setattr(encoding, "AT_ONCE", 1)


def full(paths: Iterable[Path]) -> list[ImageView]:
    return [(path, "full") for path in paths]


def direct(encoder: CNNEncoder, item: ImageView) -> npt.NDArray[np.float16]:
    """A row as it must be: the encoder's output for this image alone."""
    return encoder.encode_pixels([encoder.transform.pixels(*item)])[0].half().numpy()


def assert_rows_right(store: FeatureStore, items: Sequence[ImageView]) -> None:
    """Each has a row, which is its own: close to direct encoding (batches round differently)."""
    for item in items:
        expected = direct(store.encoder, item)
        row = store[store.row(*item)]
        assert row.dtype == np.float16
        np.testing.assert_allclose(row, expected, rtol=0.01, atol=0.002 * np.abs(expected).max())


def assert_all_counted_right(store: FeatureStore, items: Sequence[ImageView]) -> list[ImageView]:
    """Every row that counts is right; those that do not are missing. Returns the missing ones."""
    missing = store.missing(items)
    assert len(store) == len(items) - len(missing)
    assert_rows_right(store, [item for item in items if item not in missing])
    return missing


def copy_photos(paths: Iterable[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    return [Path(shutil.copy2(path, folder)) for path in paths]


def interrupt_after(encoder: CNNEncoder, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the encoder raise KeyboardInterrupt, as Ctrl-C does, after some batches."""
    encode, left = encoder.encode_pixels, iter(range(batches))

    def encode_some(pixels: list[npt.NDArray[np.uint8]]) -> torch.Tensor:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return encode(pixels)

    monkeypatch.setattr(encoder, "encode_pixels", encode_some)


# Rows


def test_photos_differ_enough_for_these_tests(tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    rows = np.stack([direct(tiny_encoder, item).ravel() for item in full(snippets)]).astype(np.float32)
    apart = np.abs(rows[:, None] - rows[None]).max(axis=-1) + 10 * np.eye(len(rows))
    assert apart.min() > 0.05 * np.abs(rows).max()


def test_rows_are_the_encoders_output(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    done: list[int] = []
    report = store.extract(full(snippets), progress=done.append)
    assert (report.extracted, report.failed) == (40, [])
    assert report.seconds > 0
    assert done == [16, 16, 8]
    assert len(store) == 40
    assert_rows_right(store, full(snippets))
    for start in range(0, 40, 16):  # the same batches: the same bits
        batch = snippets[start : start + 16]
        pixels = [tiny_encoder.transform.pixels(path) for path in batch]
        expected = tiny_encoder.encode_pixels(pixels).half().numpy()
        found = np.stack([store[store.row(path)] for path in batch])
        np.testing.assert_array_equal(found, expected)


def test_bf16_rows(tmp_path: Path, snippets: list[Path]) -> None:
    encoder = make_tiny_encoder(precision="bf16")
    store = FeatureStore(tmp_path, encoder)
    store.extract(full(snippets[:16]))
    pixels = [encoder.transform.pixels(path) for path in snippets[:16]]
    expected = encoder.encode_pixels(pixels).half().numpy()
    np.testing.assert_array_equal(np.stack([store[store.row(path)] for path in snippets[:16]]), expected)


def test_int8_rows_are_close_and_live_apart(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    whole = FeatureStore(tmp_path, tiny_encoder)
    whole.extract(full(snippets))
    store = FeatureStore(tmp_path, tiny_encoder, "int8")
    assert len(store.missing(full(snippets))) == 40
    store.extract(full(snippets))
    assert (store.folder / "rows.bin").stat().st_size == 40 * (4 * 128 + 4 * 8)
    load = CachedFeatures(FeatureStore(tmp_path, tiny_encoder, "int8"))
    for path in snippets:
        expected = whole[whole.row(path)].astype(np.float32)
        found = load(CaptionedImage(path, ("a",), "train", path.name), None)
        assert found.dtype == torch.float16
        half = (expected.max(axis=1, keepdims=True) - expected.min(axis=1, keepdims=True)) / 255 / 2
        assert np.all(np.abs(found.float().numpy() - expected) <= 1.01 * half + 2e-3 * np.abs(expected))


def test_views_have_their_own_rows(tmp_path: Path, tiny_encoder: CNNEncoder, photos: list[Path]) -> None:
    wanted: list[ImageView] = [(p, v) for p in photos for v in ("full", "flip", "crop", "crop-flip")]
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(wanted)
    assert len(store) == 16
    assert_rows_right(store, wanted)


def test_another_object_finds_them(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    FeatureStore(tmp_path, tiny_encoder).extract(full(snippets))
    store = FeatureStore(tmp_path, make_tiny_encoder())
    assert store.missing(full(snippets)) == []
    assert_rows_right(store, full(snippets))
    written = (store.folder / "rows.bin").stat().st_mtime_ns
    assert store.extract(full(snippets)).extracted == 0
    assert (store.folder / "rows.bin").stat().st_mtime_ns == written


def test_nothing_wanted(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.extract([]).extracted == 0
    assert len(store) == 0


def test_row_that_is_not_there(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:1]))
    for path, view in ((snippets[1], "full"), (snippets[0], "flip"), (tmp_path / "none.jpg", "full")):
        with pytest.raises(FeatureStoreError, match="not cached; extract them first") as caught:
            store.row(path, view)
        assert str(path) in str(caught.value)


def test_one_file_by_several_names_has_one_row(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to(snippets[0])
    monkeypatch.chdir(snippets[0].parent)
    linked_folder = tmp_path / "photos"
    linked_folder.symlink_to(snippets[0].parent, target_is_directory=True)
    name = snippets[0].name
    around = snippets[0].parent / ".." / snippets[0].parent.name / name
    names = [snippets[0], link, Path(name), linked_folder / name, around, snippets[0]]
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.extract(full([*names, snippets[1]])).extracted == 2
    assert {store.row(name) for name in names} == {0}
    store.extract(full(snippets[:5]))
    assert (store.folder / "rows.bin").stat().st_size == 5 * store.row_bytes
    assert_rows_right(store, full([*names, *snippets[:5]]))


def test_a_row_that_was_cut_off_is_told(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:2]))
    with pytest.raises(IndexError):
        store[2]
    os.truncate(store.folder / "rows.bin", 2 * store.row_bytes - 1)
    np.testing.assert_array_equal(store[0], store[store.row(snippets[0])])
    with pytest.raises(FeatureStoreError, match=r"rows\.bin: row 1 cannot be read .*; extract the features"):
        store[1]


def test_pickled_store_reads_its_rows_again(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.plan(full(snippets))  # uses the encoder, which grows by that
    before = len(pickle.dumps(store))
    store.extract(full(snippets))
    content = pickle.dumps(store)
    assert len(content) < before + 40 * store.row_bytes // 2, "the rows are in it"
    elsewhere = pickle.loads(content)
    assert not hasattr(elsewhere, "encoder")  # that of an exported model cannot go to another process
    for path in snippets:
        np.testing.assert_array_equal(elsewhere[elsewhere.row(path)], store[store.row(path)])


# Damaged rows


def damage(store: FeatureStore, place: int, kind: str) -> None:
    """Change a row on the disk."""
    path, size = store.folder / "rows.bin", store.row_bytes
    content = bytearray(path.read_bytes())
    row = content[place * size : (place + 1) * size]
    if kind == "zeros":
        row[:] = bytes(size)
    elif kind == "not a number":
        row[1] = 0x7F
    else:
        row[size // 2] ^= 1
    content[place * size : (place + 1) * size] = row
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["zeros", "not a number", "one bit"])
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_damaged_row_is_named_and_extracted_again(
    kind: str,
    dtype: FeatureType,
    tmp_path: Path,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder, dtype)
    store.extract(full(snippets[:5]))
    expected = [store.read(path) for path in snippets[:5]]
    damage(store, 3, kind)
    store = FeatureStore(tmp_path, tiny_encoder, dtype)
    with caplog.at_level("WARNING", "showtell"):
        for path, row in zip(snippets, expected, strict=False):
            np.testing.assert_allclose(store.read(path), row, rtol=0.02, atol=0.02 * float(np.abs(row).max()))
    (line,) = caplog.messages
    assert line.startswith(f"{snippets[3]} (full): {store.folder / 'rows.bin'}: row 3 is damaged (")
    assert line.endswith("; extracting it again")
    assert [store.row(path) for path in snippets[:5]] == [0, 1, 2, 5, 4]  # a new row at the end
    assert FeatureStore(tmp_path, tiny_encoder, dtype).missing(full(snippets[:5])) == []


@pytest.mark.parametrize("forked", [False, True])
def test_damaged_rows_that_another_process_reads_are_extracted_by_the_next_run(
    forked: bool,
    tmp_path: Path,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:6]))
    for place in (1, 4):
        damage(store, place, "one bit")
    if forked:
        monkeypatch.setattr(store_module, "get_worker_info", lambda: "worker 0")
        elsewhere = FeatureStore(tmp_path, tiny_encoder)
    else:
        elsewhere = pickle.loads(pickle.dumps(store))  # a process that loads batches has no encoder
    with pytest.raises(FeatureStoreError, match=r"row 4 is damaged .*; run the command again") as caught:
        elsewhere.read(snippets[4])
    assert str(snippets[4]) in str(caught.value)
    again = FeatureStore(tmp_path, tiny_encoder)
    assert again.plan(full(snippets[:6])).missing == 2
    assert again.extract(full(snippets[:6])).extracted == 2
    assert_rows_right(again, full(snippets[:6]))


def test_a_row_is_checked_once_in_a_process(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:3]))
    calls: list[bytes] = []

    def count(key: bytes, row: bytes) -> bytes:
        calls.append(key)
        return checksum(key, row)

    monkeypatch.setattr(checksums, "checksum", count)
    for _ in range(3):
        for path in snippets[:3]:
            store.read(path)
    assert len(calls) == len(set(calls)) == 3


@pytest.mark.parametrize("kind", ["zeros", "not a number"])
def test_a_cache_without_checksums_is_read(
    kind: str, tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    """As versions before wrote it; rows that it gets now have checksums."""
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:3]))
    (store.folder / "checksums.bin").unlink()
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.extract(full(snippets[:5])).extracted == 2
    assert_rows_right(store, full(snippets[:5]))
    damage(store, 1, kind)
    damage(store, 4, "one bit")
    store = FeatureStore(tmp_path, tiny_encoder)
    for place in (1, 4):
        with pytest.raises(FeatureStoreError, match=rf"row {place} is damaged"):
            store[place]
    store.extract(full(snippets[:5]))
    assert_rows_right(store, full(snippets[:5]))


def test_a_mark_of_a_row_that_was_cut_off_is_forgotten(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:3]))
    damage(store, 2, "one bit")
    with pytest.raises(FeatureStoreError, match="row 2 is damaged"):
        store[2]
    os.truncate(store.folder / "index.bin", 2 * store_module.KEY_BYTES)
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:3]))
    assert store.row(snippets[2]) == 2
    assert FeatureStore(tmp_path, tiny_encoder).missing(full(snippets[:3])) == []


def test_features_that_are_not_finite_are_not_cached(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = tiny_encoder.encode_pixels

    def overflow(pixels: list[npt.NDArray[np.uint8]]) -> torch.Tensor:
        features = encode(pixels).clone()
        features[2, 0, 0] = 70_000  # more than a number of 16 bits holds
        return features

    monkeypatch.setattr(tiny_encoder, "encode_pixels", overflow)
    store = FeatureStore(tmp_path, tiny_encoder)
    with pytest.raises(FeatureStoreError, match=rf"{snippets[2].name}: its features \(full\) are not finite"):
        store.extract(full(snippets[:4]))
    assert len(store) == 0


# Another encoder, another file


@pytest.mark.parametrize("changes", [{"seed": 1}, {"size": 96}, {"precision": "bf16"}], ids=str)
def test_another_encoder_has_another_store(
    changes: dict[str, object], tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    FeatureStore(tmp_path, tiny_encoder).extract(full(snippets[:3]))
    other = FeatureStore(tmp_path, make_tiny_encoder(**changes))
    assert len(other) == 0
    assert other.missing(full(snippets[:3])) == full(snippets[:3])


def test_another_normalisation_has_another_store(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    other = CNNEncoder(tiny_encoder.backbone, ImageTransform(64), "fp32")
    assert FeatureStore(tmp_path, other).folder != FeatureStore(tmp_path, tiny_encoder).folder


@pytest.mark.parametrize("same_object", [False, True])
def test_changed_file_gets_a_new_row(
    same_object: bool, tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    paths = copy_photos(snippets[:3], tmp_path / "photos")
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(paths))
    shutil.copy(snippets[7], paths[1])
    status = paths[1].stat()
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    if not same_object:
        store = FeatureStore(tmp_path, make_tiny_encoder())
        with pytest.raises(FeatureStoreError):
            store.row(paths[1])
    assert store.extract(full(paths)).extracted == 1
    assert_rows_right(store, full(paths))
    assert [store.row(path) for path in paths] == [0, 3, 2]


def test_file_that_came_later(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    late = tmp_path / "late.jpg"
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.missing(full([late])) == full([late])
    assert len(store.extract(full([late]), skip_bad=True).failed) == 1
    shutil.copy(snippets[0], late)
    store.extract(full([late]))
    assert_rows_right(FeatureStore(tmp_path, tiny_encoder), full([late]))


# Interruptions


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_interrupted_then_resumed(
    batches: int,
    tmp_path: Path,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    with monkeypatch.context() as patch:
        interrupt_after(tiny_encoder, batches, patch)
        with pytest.raises(KeyboardInterrupt):
            store.extract(full(snippets))
    for found in (store, FeatureStore(tmp_path, tiny_encoder)):
        assert len(found) == 16 * batches
        assert_all_counted_right(found, full(snippets))
    assert store.extract(full(snippets)).extracted == 40 - 16 * batches
    assert_rows_right(store, full(snippets))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, snippets: list[Path]) -> FeatureStore:
    store = FeatureStore(tmp_path_factory.mktemp("whole"), make_tiny_encoder())
    store.extract(full(snippets))
    return store


ROW = 2 * 4 * 128
sizes = st.tuples(st.integers(0, 40 * ROW), st.integers(0, 40 * store_module.KEY_BYTES))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes)
@example((0, 40 * 16))
@example((40 * ROW, 0))
@example((40 * ROW - 1, 40 * 16 - 1))
@example((3 * ROW + 5, 40 * 16))
@example((40 * ROW, 3 * 16 + 5))
def test_torn_files(
    whole: FeatureStore, snippets: list[Path], tmp_path: Path, lengths: tuple[int, int]
) -> None:
    """What a crash leaves of rows and index, cut anywhere: what counts is right, the rest is done again."""
    assert whole.row_bytes == ROW
    shutil.rmtree(tmp_path / "features", ignore_errors=True)
    folder = tmp_path / "features" / whole.folder.name
    shutil.copytree(whole.folder, folder)
    os.truncate(folder / "rows.bin", lengths[0])
    os.truncate(folder / "index.bin", lengths[1])
    store = FeatureStore(tmp_path, whole.encoder)
    missing = assert_all_counted_right(store, full(snippets))
    assert len(store) == min(lengths[0] // ROW, lengths[1] // 16)
    assert store.extract(full(snippets)).extracted == len(missing)
    assert_rows_right(FeatureStore(tmp_path, whole.encoder), full(snippets))
    assert (folder / "rows.bin").stat().st_size == 40 * ROW


def test_repeated_keys_in_the_index(
    whole: FeatureStore, snippets: list[Path], tmp_path: Path, tiny_encoder: CNNEncoder
) -> None:
    """Such as a power failure's zeros: the rows that follow them stay where they are."""
    shutil.copytree(whole.folder, tmp_path / "features" / whole.folder.name)
    index = tmp_path / "features" / whole.folder.name / "index.bin"
    index.write_bytes(bytes(5 * 16) + index.read_bytes()[5 * 16 :])
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.extract(full(snippets)).extracted == 5
    assert_rows_right(store, full(snippets))
    assert_rows_right(FeatureStore(tmp_path, tiny_encoder), full(snippets))


def test_rows_are_on_the_disk_before_their_keys(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every flush, seen from outside: each key has its row."""
    monkeypatch.setattr(store_module, "FLUSH_ROWS", 1)
    monkeypatch.setattr(store_module, "FLUSH_SECONDS", 0)
    store = FeatureStore(tmp_path, tiny_encoder)
    seen = []

    def look(handle: int) -> None:
        index, rows = ((store.folder / name).stat().st_size for name in ("index.bin", "rows.bin"))
        seen.append((index // 16, rows // store.row_bytes))
        assert index % 16 == 0
        sync(handle)

    sync = os.fsync
    monkeypatch.setattr(os, "fsync", look)
    store.extract(full(snippets))
    assert all(keys <= rows for keys, rows in seen)
    assert seen[:3] == [(0, 16), (0, 16), (16, 16)]  # rows, checksums, keys


# Disks


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_disk_that_fails(
    after: int,
    tmp_path: Path,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "FLUSH_ROWS", 16)
    monkeypatch.setattr(store_module, "FLUSH_SECONDS", 0)
    store = FeatureStore(tmp_path, tiny_encoder)
    sync, calls = os.fsync, iter(range(after))

    def fail(handle: int) -> None:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(FeatureStoreError, match="No space left on device") as caught:
            store.extract(full(snippets))
    assert "\n" not in str(caught.value)
    assert_all_counted_right(store, full(snippets))
    store.extract(full(snippets))
    assert_rows_right(store, full(snippets))


def test_rows_after_a_failed_write_do_not_count(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails half-way, as on a full disk that then has room again."""
    store = FeatureStore(tmp_path, tiny_encoder)
    open_at = store_module._open_at

    class Failing:
        def __init__(self, file: BinaryIO) -> None:
            self.file, self.calls = file, 0

        def write(self, content: bytes) -> int:
            self.calls += 1
            if self.calls == 2:
                self.file.write(bytes(content)[:5])
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(content)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    def open_rows(path: Path, size: int) -> Any:
        file = open_at(path, size)
        return Failing(file) if path.name == "rows.bin" else file

    monkeypatch.setattr(store_module, "_open_at", open_rows)
    with pytest.raises(FeatureStoreError, match="No space left"):
        store.extract(full(snippets))
    monkeypatch.undo()
    assert_all_counted_right(FeatureStore(tmp_path, tiny_encoder), full(snippets))


def test_cache_folder_that_is_a_file(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(FeatureStoreError, match=r"cache\.dir"):
        FeatureStore(tmp_path / "cache", tiny_encoder)


@pytest.mark.parametrize("name", ["lock", "rows.bin", "index.bin"])
def test_files_that_cannot_be_opened(
    name: str, tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    """A folder in the place of each (permissions would not stop a superuser)."""
    store = FeatureStore(tmp_path, tiny_encoder)
    (store.folder / name).mkdir()
    with pytest.raises(FeatureStoreError, match=str(store.folder)):
        FeatureStore(tmp_path, tiny_encoder).extract(full(snippets[:1]))


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", '{"version": 0}'])
def test_damaged_description(content: str, tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    path = FeatureStore(tmp_path, tiny_encoder).folder / "store.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(FeatureStoreError, match="delete") as caught:
        FeatureStore(tmp_path, tiny_encoder)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content.encode("latin-1")


@pytest.mark.parametrize("change", [{"version": 2}, {"encoder": "0" * 64}, {"shape": [9, 9]}], ids=str)
def test_description_of_another_store(
    change: dict[str, object], tmp_path: Path, tiny_encoder: CNNEncoder
) -> None:
    path = FeatureStore(tmp_path, tiny_encoder).folder / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FeatureStoreError, match="not the store of this encoder and version"):
        FeatureStore(tmp_path, tiny_encoder)


# Bad images


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
    for found in (store, FeatureStore(tmp_path, tiny_encoder)):
        assert len(found) == 16
        assert_rows_right(found, full(with_bad[:16]))


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


# Several at once


def test_two_at_once_write_each_row_once(tmp_path: Path, snippets: list[Path]) -> None:
    """Two stores in two threads; the lock does not tell threads from processes."""
    stores = [FeatureStore(tmp_path, make_tiny_encoder()) for _ in range(2)]
    reports = {}

    def run(number: int, wanted: list[ImageView]) -> None:
        reports[number] = stores[number].extract(wanted)

    wanted = [full(snippets[:30]), full(snippets[::-1])]
    threads = [threading.Thread(target=run, args=(i, wanted[i])) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reports[0].extracted + reports[1].extracted == 40
    for i in range(2):
        assert_rows_right(stores[i], wanted[i])
    assert len(FeatureStore(tmp_path, make_tiny_encoder())) == 40


def test_waits_for_the_lock_and_says_so(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(store.folder / "lock"):
            held.set()
            may_end.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    threading.Timer(0.5, may_end.set).start()
    start = time.monotonic()
    with caplog.at_level("INFO", "showtell"):
        store.extract(full(snippets[:2]))
    assert time.monotonic() - start >= 0.4
    holder.join()
    assert "waiting for it" in caplog.text
    assert_rows_right(store, full(snippets[:2]))


def test_lock_is_released_without_the_garbage_collector(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FileLock] = []

    class Kept(FileLock):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(store_module, "FileLock", Kept)
    FeatureStore(tmp_path, tiny_encoder).extract(full(snippets[:1]))
    assert [lock.is_locked for lock in made] == [False]


# Plans


def test_size_of_all_of_coco(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder: CNNEncoder
) -> None:
    """118,287 training photos of COCO, 49 x 2048 values of 2 bytes: 23.7 GB."""
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.row_bytes == 4 * 128 * 2
    monkeypatch.setattr(store, "row_bytes", 49 * 2048 * 2)
    monkeypatch.setattr(store, "missing", lambda wanted: list(wanted))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    monkeypatch.setattr(store, "_seconds_per_image", lambda: 0.03)
    plan = store.plan(full([Path("photo.jpg")] * 118_287))
    assert (plan.rows, plan.missing, plan.size) == (118_287, 118_287, 23_740_674_048)
    assert str(plan) == "118,287 feature rows, 118,287 to extract: 23.7 GB, about 59 min"


def test_plan_of_what_is_missing(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets[:10]))
    plan = store.plan(full(snippets))
    assert (plan.rows, plan.missing, plan.size) == (40, 30, 30 * store.row_bytes)
    assert 0 < plan.seconds < 60
    store.extract(full(snippets))
    added = (store.folder / "rows.bin").stat().st_size - 10 * store.row_bytes
    assert added == plan.size


def test_plan_of_all_cached_costs_nothing(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(snippets))
    interrupt_after(tiny_encoder, 0, monkeypatch)  # the encoder is not even timed
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 0))
    plan = store.plan(full(snippets))
    assert (plan.rows, plan.missing, plan.size, plan.seconds) == (40, 0, 0, 0.0)


@pytest.mark.parametrize(("short", "fits"), [(1, False), (0, True)])
def test_no_room_on_the_disk(
    short: int,
    fits: bool,
    tmp_path: Path,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    asked = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        free = 40 * store.row_bytes - short
        return Usage(10**9, 10**9 - free, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    if fits:
        assert store.plan(full(snippets)).missing == 40
    else:
        with pytest.raises(FeatureStoreError, match=r"do not fit.*cache.dir") as caught:
            store.plan(full(snippets))
        assert "\n" not in str(caught.value)
    assert asked == [store.folder]


def test_photos_of_the_world(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    """Names that are not UTF-8, and file names with spaces and accents."""
    names = ["a b é.jpg", "日本.png"] + ([os.fsdecode(b"caf\xe9.jpg")] if os.name == "posix" else [])
    for number, name in enumerate(names):
        Image.new("RGB", (9, 9), (number * 90, 10, 200)).save(tmp_path / name)
    store = FeatureStore(tmp_path / "cache", tiny_encoder)
    store.extract(full(tmp_path / name for name in names))
    assert_rows_right(store, full(tmp_path / name for name in names))
