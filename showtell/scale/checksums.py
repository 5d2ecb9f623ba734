"""Checksums of shards: a truncated or changed shard is detected when the job is resumed, and made again.

`checksums.jsonl` in a job's folder has a line for each shard that is done. It is appended to; of several
lines of a shard the last counts, and a line that is not whole (a kill, a full disk) does not. A shard without
a line is compared with its unit, image by image, and gets one.
"""

from __future__ import annotations

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from showtell.utils.files import reraise_os_error
from showtell.utils.storage import is_remote, write_whole

FILE_NAME: Final = "checksums.jsonl"
_BLOCK: Final = 2**20


@dataclass(frozen=True)
class Checksum:
    """Size in bytes of a file, and its CRC-32 (as in zip and PNG): it finds damage, not malice."""

    size: int
    crc32: int

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The checksum of a content."""
        return cls(len(content), zlib.crc32(content))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The checksum of a file.

        Raises:
            OSError: it cannot be read.
        """
        size = crc32 = 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                size, crc32 = size + len(block), zlib.crc32(block, crc32)
        return cls(size, crc32)


def write_shard_file(path: Path, content: bytes) -> Checksum:
    """Write a shard, whole or not at all; its checksum is computed while the disk is waited for.

    Raises:
        WriteError: it cannot be written.
    """
    with ThreadPoolExecutor(1) as beside:
        checksum = beside.submit(Checksum.of, content)
        write_whole(path, content)
        return checksum.result()


def add_checksum(shard: Path, checksum: Checksum) -> None:
    """Note the checksum of a shard that has been written.

    It is not flushed to the disk: a checksum that is lost is computed again. An object store has checksums of
    its own and cannot append: nothing is noted there, and shards are compared with their units.

    Raises:
        WriteError: it cannot be noted.
    """
    if is_remote(shard):
        return
    path = shard.with_name(FILE_NAME)
    line = json.dumps({"shard": shard.name, "bytes": checksum.size, "crc32": f"{checksum.crc32:08x}"})
    with reraise_os_error(path), path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}" if file.tell() else line)  # so a line that a kill has cut ends before it


def read_checksums(folder: Path) -> dict[str, Checksum]:
    """The checksums that have been noted in a job's folder, by the name of the shard.

    Raises:
        OSError: the file is there and cannot be read.
    """
    if is_remote(folder):
        return {}
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    known = {}
    for line in text.split("\n"):
        try:
            values = json.loads(line)
            known[str(values["shard"])] = Checksum(int(values["bytes"]), int(values["crc32"], 16))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return known
