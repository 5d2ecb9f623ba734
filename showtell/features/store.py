"""The feature cache: every image through the frozen encoder once, into a file that is read row by row.

A store is a folder named after the fingerprint of its encoder (weights, transform, precision):

    store.json   what the rows are
    rows.bin     rows, one after the other, each the features (R, D) of an image (see `RowFormat`)
    index.bin    16 bytes per row: the key of the image file (path, size, time of change) and view in it
    checksums.bin, damaged.bin: see `showtell.features.checksums`

Rows are only ever appended: first the rows and their checksums are flushed to the disk, then their keys. So a
row counts when its key is there, and a kill at any moment loses at most the rows since the last flush. A file
that changes has another key: a stale row is never read. A damaged row is recognised when a process first
reads it, and another one appended. One process writes at a time (a lock file, which the system releases when
its holder dies); others wait, then find the work done.

A row is read by one request of its size. Mapping the file into memory would read a few pages at a time, which
is slower if rows come at random, and would count all that was read as the process's memory (COCO: 24 GB).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout
from torch.utils.data import get_worker_info

from showtell.config import FeatureType, View
from showtell.data.records import CaptionedImage
from showtell.errors import FeatureStoreError
from showtell.features.checksums import CHECKSUM_BYTES, CHECKSUMS, DamagedRowError, RowChecks, checksum
from showtell.features.encoding import (
    ExtractionReport,
    FeatureEncoder,
    ImageView,
    encode_views,
    require_finite,
)
from showtell.features.keys import KEY_BYTES, ImageKeys
from showtell.features.row_format import RowFormat
from showtell.utils.devices import CopyToCPU
from showtell.utils.files import write_atomic

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
FLUSH_ROWS = 256
"""Rows that a kill may cost, besides those of the last `FLUSH_SECONDS`."""
FLUSH_SECONDS = 1.0
"""Waiting for the disk more often would slow a fast encoder."""
QUEUE = 2
"""Batches that wait to be written while others are encoded."""


@dataclass(frozen=True)
class FeaturePlan:
    """The cost of an extraction: `rows` rows, of which `missing` ones take `size` bytes and `seconds`."""

    rows: int
    missing: int
    size: int
    seconds: float

    def __str__(self) -> str:
        if not self.missing:
            return f"{self.rows:,} feature rows, all cached"
        return (
            f"{self.rows:,} feature rows, {self.missing:,} to extract: "
            f"{self.size / 1e9:.1f} GB, about {self.seconds / 60:.0f} min"
        )


class FeatureStore:
    """Features of image files by (path, view).

    Args:
        cache_dir: folder of the cache; the store is a folder in it.
        encoder: what makes the features; its fingerprint names the store.
        kind: how they are stored.

    Raises:
        FeatureStoreError: the folder cannot be used.
    """

    def __init__(self, cache_dir: Path, encoder: FeatureEncoder, kind: FeatureType = "float16") -> None:
        self.encoder = encoder
        fingerprint = encoder.fingerprint()
        self.format = RowFormat(kind, encoder.grid_cells, encoder.feature_dim)
        self.row_bytes = self.format.record.itemsize
        self.folder = cache_dir / "features" / (fingerprint[:16] + ("-int8" if kind == "int8" else ""))
        self._rows = self.folder / "rows.bin"
        self._checks = RowChecks(self.folder, self.format)
        description = {
            "version": FORMAT_VERSION,
            "encoder": fingerprint,
            "made_by": encoder.producer,
            "shape": [encoder.grid_cells, encoder.feature_dim],
            "dtype": "<f2" if kind == "float16" else kind,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_or_describe(description)
            self._reload()
        except OSError as error:
            raise FeatureStoreError(
                f"{self.folder}: the feature cache cannot be used ({error.strerror}); name another folder "
                "with --cache.dir"
            ) from error
        self._keys = ImageKeys()

    def __getstate__(self) -> dict[str, object]:
        """Go to another process to be read there: without the encoder."""
        return {name: value for name, value in vars(self).items() if name != "encoder"}

    def __len__(self) -> int:
        """Rows in the store."""
        return len(self._row_of_key)

    def row(self, path: Path, view: View = "full") -> int:
        """The row of an image's view.

        Raises:
            FeatureStoreError: it has not been extracted, or the file has changed since.
        """
        row = self._row_of_key.get(self._keys((path, view)))
        if row is None:
            raise FeatureStoreError(f"{path}: its features ({view}) are not cached; extract them first")
        return row

    def __getitem__(self, row: int) -> npt.NDArray[np.float16]:
        """Read the features (R, D) of a row.

        Raises:
            IndexError: there is no such row.
            DamagedRowError: the row is damaged; from now on it does not count.
            FeatureStoreError: the file cannot be read.
        """
        position = range(self._count)[row]
        try:
            (record,) = np.fromfile(self._rows, self.format.record, 1, offset=position * self.row_bytes)
        except (OSError, ValueError) as error:
            raise FeatureStoreError(
                f"{self._rows}: row {position} cannot be read ({error}); extract the features again"
            ) from error
        key = self._index[position * KEY_BYTES : (position + 1) * KEY_BYTES]
        if reason := self._checks.damage(position, key, record):
            self._checks.mark(position)
            if self._row_of_key.get(key) == position:
                del self._row_of_key[key]
            raise DamagedRowError(f"{self._rows}: row {position} is damaged ({reason})")
        return self.format.unpack(record)

    def read(self, path: Path, view: View = "full") -> npt.NDArray[np.float16]:
        """Read the features (R, D) of an image's view; if their row is damaged, they are extracted again.

        Raises:
            ImageError: the row is damaged, and the image cannot be decoded any more.
            FeatureStoreError: the features have not been extracted, or cannot be read; or the row is damaged
                and this is another process than the one that extracts.
        """
        try:
            return self[self.row(path, view)]
        except DamagedRowError as error:
            if not hasattr(self, "encoder") or get_worker_info() is not None:  # GPUs cannot be forked
                self._mark_damaged_rows()
                raise FeatureStoreError(
                    f"{path} ({view}): {error}; run the command again, which extracts it again"
                ) from error
            log.warning("%s (%s): %s; extracting it again", path, view, error)
        self.extract([(path, view)])
        return self[self.row(path, view)]

    def _mark_damaged_rows(self) -> None:
        """Read all rows, so that the next run extracts all damaged ones."""
        for position in range(self._count):
            with suppress(DamagedRowError):
                self[position]

    def missing(self, wanted: Iterable[ImageView]) -> list[ImageView]:
        """Those of `wanted` that are not in the store, each file and view once, in order."""
        by_key: dict[bytes, ImageView] = {}
        for item in wanted:
            by_key.setdefault(self._keys(item), item)
        return [item for key, item in by_key.items() if key not in self._row_of_key]

    def plan(self, wanted: Sequence[ImageView]) -> FeaturePlan:
        """The cost of extracting `wanted`, with the encoder timed on one batch.

        Raises:
            FeatureStoreError: there is no room for it on the disk.
        """
        missing = len(self.missing(wanted))
        size = missing * self.row_bytes
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise FeatureStoreError(
                f"{self.folder}: {size / 1e9:.1f} GB of features do not fit, {free / 1e9:.1f} GB are free; "
                "name a folder on another disk with --cache.dir, or fewer --cache.views"
            )
        seconds = missing * self._seconds_per_image() if missing else 0.0
        return FeaturePlan(len(wanted), missing, size, seconds)

    def extract(
        self,
        wanted: Sequence[ImageView],
        *,
        skip_bad: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> ExtractionReport:
        """Add the rows of `wanted` that are missing; decoding runs beside the encoder.

        Args:
            wanted: (path, view) pairs.
            skip_bad: list images that cannot be decoded in the report, instead of stopping at the first.
            progress: called with the number of rows just done.

        Raises:
            ImageError: an image cannot be decoded; what was extracted before is kept.
            FeatureStoreError: the disk is full or fails.
        """
        report = ExtractionReport()
        self._keys.forget()  # files may have changed
        if not self.missing(wanted):
            return report
        start = time.monotonic()
        try:
            with self._write_lock():
                self._reload()  # another process may have been here
                self._checks.forget_from(self._count)
                try:
                    with _RowWriter(self.folder, self.format, self._count) as writer:
                        self._extract_missing(self.missing(wanted), writer, report, skip_bad, progress)
                finally:
                    self._reload()
        except OSError as error:
            raise FeatureStoreError(f"{self.folder}: writing features failed ({error})") from error
        report.seconds = time.monotonic() - start
        return report

    def _extract_missing(
        self,
        missing: list[ImageView],
        writer: _RowWriter,
        report: ExtractionReport,
        skip_bad: bool,
        progress: Callable[[int], object] | None,
    ) -> None:
        encoded = encode_views(self.encoder, missing, report, skip_bad=skip_bad, progress=progress)
        with closing(encoded):
            for items, features in encoded:
                rows = CopyToCPU(self.format.pack(features))
                writer.append(rows, items, [self._keys(item) for item in items])

    def _seconds_per_image(self) -> float:
        size, count = self.encoder.transform.size, self.encoder.batch_size
        pixels = [np.zeros((size, size, 3), np.uint8)] * count
        for _ in range(2):  # the first call is slower
            start = time.monotonic()
            CopyToCPU(self.format.pack(self.encoder.encode_pixels(pixels))).wait()
        return (time.monotonic() - start) / count

    def _check_or_describe(self, description: dict[str, object]) -> None:
        path = self.folder / "store.json"
        try:
            stored = json.loads(path.read_bytes())
        except FileNotFoundError:
            write_atomic(path, json.dumps(description, indent=1) + "\n")
            return
        except ValueError:
            stored = None
        if stored != description:
            raise FeatureStoreError(
                f"{path}: not the store of this encoder and version; delete {self.folder}"
            )

    def _reload(self) -> None:
        """Look again at what is on the disk. Rows without a key, and keys without a row, do not count."""
        index = self.folder / "index.bin"
        keys = index.read_bytes() if index.exists() else b""
        size = self._rows.stat().st_size if self._rows.exists() else 0
        self._count = min(len(keys) // KEY_BYTES, size // self.row_bytes)
        self._index = keys[: self._count * KEY_BYTES]
        damaged = self._checks.reload(self._count)
        self._row_of_key = {
            keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]: i for i in range(self._count) if i not in damaged
        }

    def _write_lock(self) -> AbstractContextManager[object]:
        lock = FileLock(self.folder / "lock")
        try:
            return lock.acquire(timeout=0.1)
        except Timeout:
            log.info("Another process is extracting features to %s: waiting for it", self.folder)
            return lock.acquire()


class _RowWriter:
    """Appends rows, and their keys once the rows are on the disk, in a thread: the encoder does not wait."""

    def __init__(self, folder: Path, form: RowFormat, count: int) -> None:
        self._format = form
        self._rows = _open_at(folder / "rows.bin", count * form.record.itemsize)
        self._checksums = _open_at(folder / CHECKSUMS, count * CHECKSUM_BYTES)  # zeros for rows without one
        self._index = _open_at(folder / "index.bin", count * KEY_BYTES)
        self._waiting: list[tuple[bytes, bytes]] = []  # keys and checksums
        self._failed = False
        self._flushed = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "write-features")
        self._queue: deque[Future[None]] = deque()

    def __enter__(self) -> _RowWriter:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._settle(0)
            self.flush()
        finally:
            self._thread.shutdown()
            for file in (self._rows, self._checksums, self._index):
                file.close()

    def append(self, rows: CopyToCPU, items: Sequence[ImageView], keys: list[bytes]) -> None:
        """Add rows (B, bytes) of images with their keys.

        Raises:
            OSError: rows that were added before cannot be written.
            FeatureStoreError: features that were added before are not finite.
        """
        self._settle(QUEUE - 1)
        self._queue.append(self._thread.submit(self._write, rows, items, keys))

    def flush(self) -> None:
        """Make what was written count."""
        keys, checksums = (b"".join(pair[part] for pair in self._waiting) for part in (0, 1))
        for file, content in ((self._rows, b""), (self._checksums, checksums), (self._index, keys)):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._waiting.clear()
        self._flushed = time.monotonic()

    def _settle(self, left: int) -> None:
        """Wait until no more than `left` batches are yet to be written."""
        while len(self._queue) > left:
            self._queue.popleft().result()

    def _write(self, rows: CopyToCPU, items: Sequence[ImageView], keys: list[bytes]) -> None:
        if self._failed:
            return  # rows after those that failed would stand in their place
        self._failed = True
        content = rows.wait()
        require_finite(self._format.finite(self._format.records(content)), items)
        self._rows.write(content.numpy().data)
        self._failed = False
        pairs = zip(keys, content.numpy(), strict=True)
        self._waiting.extend((key, checksum(key, row.data)) for key, row in pairs)
        if len(self._waiting) >= FLUSH_ROWS and time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()


def _open_at(path: Path, size: int) -> BinaryIO:
    """Open for writing after the first `size` bytes; what follows them is cut off."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


class CachedFeatures:
    """Features of a dataset's images from a store, for `CaptionDataset`.

    Args:
        store: holds every view of every image that will be asked for.
        views: one of them is taken by `draw`; without it, the whole image.
    """

    def __init__(self, store: FeatureStore, views: Sequence[View] = ("full",)) -> None:
        self.store, self.views = store, tuple(views)

    def __call__(self, image: CaptionedImage, draw: int | None) -> torch.Tensor:
        """(R, D) fp16."""
        view = "full" if draw is None else self.views[draw % len(self.views)]
        return torch.from_numpy(self.store.read(image.path, view))
