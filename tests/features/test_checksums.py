"""Checksums: rows of the feature cache that a disk has damaged."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest

from showtell.config import FeatureType
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import FeatureStoreError
from showtell.features import checksums
from showtell.features import store as store_module
from showtell.features.checksums import RowChecks, checksum
from showtell.features.row_format import RowFormat
from showtell.features.store import FeatureStore
from tests.features.rows import assert_rows_right, damage, full

pytestmark = pytest.mark.usefixtures("several_batches")


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


def test_rows_that_another_process_has_replaced_are_checked_again(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    reader, writer = (FeatureStore(tmp_path, tiny_encoder) for _ in range(2))
    reader.extract(full(snippets[:4]))
    assert_rows_right(reader, full(snippets[:4]))
    with (reader.folder / "rows.bin").open("r+b") as file:
        file.truncate(2 * reader.row_bytes)
    writer.extract(full(snippets[4:8]))  # rows 2 to 5
    damage(writer, 3, "one bit")
    reader.extract(full(snippets[:10]))
    for place in (0, 1, 2, 4, 5):
        reader[place]
    with pytest.raises(FeatureStoreError, match="row 3 is damaged"):
        reader[3]


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


def test_a_checksum_is_crc32_of_key_and_row_and_never_zero() -> None:
    assert checksum(b"12345", memoryview(b"6789")) == (0xCBF43926).to_bytes(
        4, "little"
    )  # the standard's check value
    zero_crc = b"\x9d\x0a\xd9\x6d"  # CRC-32 of it is 0
    assert zlib.crc32(zero_crc) == 0
    assert checksum(b"", zero_crc) == (1).to_bytes(4, "little")


@pytest.fixture
def form(tiny_encoder: CNNEncoder, tmp_path: Path) -> RowFormat:
    return FeatureStore(tmp_path / "cache", tiny_encoder).format


def test_marks_are_read_by_the_next_process_and_forgotten_with_their_rows(
    tmp_path: Path, form: RowFormat
) -> None:
    checks = RowChecks(tmp_path, form)
    assert checks.reload(9) == frozenset()
    for place in (7, 2, 5):
        checks.mark(place)
    with (tmp_path / checksums.DAMAGED).open("ab") as file:
        file.write(b"torn")  # a mark that was being written when the process was killed
    again = RowChecks(tmp_path, form)
    assert again.reload(9) == {2, 5, 7}
    again.forget_from(6)
    assert RowChecks(tmp_path, form).reload(9) == {2, 5}


def test_a_folder_that_cannot_be_written_is_no_error_for_a_mark(tmp_path: Path, form: RowFormat) -> None:
    (tmp_path / checksums.DAMAGED).mkdir()
    RowChecks(tmp_path, form).mark(1)
