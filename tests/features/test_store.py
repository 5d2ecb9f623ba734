"""FeatureStore: right rows or none, whatever happened to the files, the photos or the process before."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from showtell.data.records import CaptionedImage
from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import FeatureStoreError
from showtell.features import store as store_module
from showtell.features.encoding import ImageView
from showtell.features.store import CachedFeatures, FeatureStore
from tests.conftest import make_tiny_encoder
from tests.features.rows import assert_all_counted_right, assert_rows_right, direct, full, interrupt_after

pytestmark = pytest.mark.usefixtures("several_batches")

Usage = namedtuple("Usage", "total used free")


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
        rows = np.stack([store[store.row(path)] for path in batch])
        np.testing.assert_array_equal(rows, expected)


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
        features = load(CaptionedImage(path, ("a",), "train", path.name), None)
        assert features.dtype == torch.float16
        half = (expected.max(axis=1, keepdims=True) - expected.min(axis=1, keepdims=True)) / 255 / 2
        assert np.all(np.abs(features.float().numpy() - expected) <= 1.01 * half + 2e-3 * np.abs(expected))


def test_views_have_their_own_rows(tmp_path: Path, tiny_encoder: CNNEncoder, photos: list[Path]) -> None:
    wanted: list[ImageView] = [(p, v) for p in photos for v in ("full", "flip", "crop", "crop-flip")]
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(wanted)
    assert len(store) == 16
    assert_rows_right(store, wanted)


def test_another_object_reads_them(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
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


def test_a_row_that_was_cut_off_is_an_error(
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
    for reader in (store, FeatureStore(tmp_path, tiny_encoder)):
        assert len(reader) == 16 * batches
        assert_all_counted_right(reader, full(snippets))
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


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_an_extraction_waits_for_the_lock_and_logs_it(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, tiny_encoder)
    lock = FileLock(store.folder / "lock", thread_local=False)
    messages: list[str] = []

    def release(message: str, *values: object) -> None:
        messages.append(message % values)
        assert len(store) == 0
        lock.release()

    monkeypatch.setattr(store_module.log, "info", release)
    with lock:
        store.extract(full(snippets[:2]))
    (message,) = messages
    assert message.endswith("waiting for it")
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
