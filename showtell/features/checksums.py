"""Checksums of the rows of a feature cache, so that rows which a disk has damaged are recognised.

    checksums.bin   4 bytes per row: CRC-32 of its key and its bytes; 0 if there is none
    damaged.bin     8 bytes each: numbers of rows that turned out to be damaged when they were read

The rows of a cache that was written before there were checksums have none. Such rows are used as they are,
unless they hold values that are not finite, or zeros only.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from showtell.errors import FeatureStoreError
from showtell.features.row_format import Record, RowFormat
from showtell.utils.files import write_atomic

CHECKSUMS: Final = "checksums.bin"
DAMAGED: Final = "damaged.bin"
CHECKSUM_BYTES: Final = 4


class DamagedRowError(FeatureStoreError):
    """A row of the feature cache is damaged."""


def checksum(key: bytes, row: bytes | memoryview) -> bytes:
    """The checksum of a row and its key, which is never 0."""
    return (zlib.crc32(row, zlib.crc32(key)) or 1).to_bytes(CHECKSUM_BYTES, "little")


class RowChecks:
    """The checksums of a cache's rows, and the rows that do not match theirs.

    Args:
        folder: of the cache.
        form: of the rows.
    """

    def __init__(self, folder: Path, form: RowFormat) -> None:
        self._folder, self._format = folder, form
        self._checksums, self._marked = b"", list[int]()
        self._checked = bytearray()  # 1 for each row that this process has checked

    def reload(self, count: int) -> Set[int]:
        """Read the files again.

        Args:
            count: rows of the cache.

        Returns:
            Numbers of damaged rows.

        Raises:
            OSError: a file cannot be read.
        """
        before, self._checksums = self._checksums, _content(self._folder / CHECKSUMS)
        self._forget_changed(before)
        numbers = _content(self._folder / DAMAGED)
        self._marked = np.frombuffer(numbers[: len(numbers) // 8 * 8], "<u8").tolist()
        self._checked = self._checked[:count].ljust(count, b"\0")
        return frozenset(self._marked)

    def _forget_changed(self, before: bytes) -> None:
        """Check rows again whose checksums were others before: another process has written them."""
        if self._checksums.startswith(before):
            return
        count = min(len(before), len(self._checksums), len(self._checked) * CHECKSUM_BYTES) // CHECKSUM_BYTES
        old, new = (np.frombuffer(content, "<u4", count) for content in (before, self._checksums))
        same = np.zeros(len(self._checked), np.uint8)
        same[:count] = old == new
        self._checked = bytearray((np.frombuffer(self._checked, np.uint8) & same).tobytes())

    def damage(self, index: int, key: bytes, row: Record) -> str | None:
        """Why a row is damaged; None if it is not. Each row is checked once in a process.

        Args:
            index: its number.
            key: its key.
            row: as it was read.
        """
        if self._checked[index]:
            return None
        expected = self._checksums[CHECKSUM_BYTES * index : CHECKSUM_BYTES * (index + 1)]
        content = row.tobytes()
        if len(expected) == CHECKSUM_BYTES and any(expected):
            if checksum(key, content) != expected:
                return "its checksum does not match"
        elif not self._format.finite(np.frombuffer(content, self._format.record))[0]:
            return "its values are not finite"
        elif not np.frombuffer(content, np.uint8).any():
            return "it has zeros only"
        self._checked[index] = 1
        return None

    def mark(self, index: int) -> None:
        """Note that a row is damaged, for this and all later runs (if the folder can be written)."""
        self._marked.append(index)
        with suppress(OSError), (self._folder / DAMAGED).open("ab") as file:
            file.write(index.to_bytes(8, "little"))
            file.flush()
            os.fsync(file.fileno())

    def forget_from(self, count: int) -> None:
        """Forget marks of rows that are not there any more; others will take their places.

        Raises:
            OSError: the file cannot be written.
        """
        kept = [index for index in self._marked if index < count]
        if kept != self._marked:
            write_atomic(self._folder / DAMAGED, np.array(kept, "<u8").tobytes())
            self._marked = kept


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
