"""The same images as a tar shard and as Parquet files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def make_tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    """A tar file of named contents; a folder entry comes first."""
    with tarfile.open(path, mode) as tar:
        folder = tarfile.TarInfo("sub.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def make_webdataset(path: Path, photos: Sequence[Path]) -> Path:
    """A shard as WebDataset has them: an image, its text and its metadata in turn."""
    return make_tar(
        path,
        (
            (f"{photo.stem}.{kind}", content)
            for photo in photos
            for kind, content in (("jpg", photo.read_bytes()), ("txt", b"a dog"), ("json", b"{}"))
        ),
    )


def make_parquet(path: Path, columns: Mapping[str, Sequence[Any]], group: int = 7) -> Path:
    """A Parquet file of row groups of `group` rows."""
    pq.write_table(pa.table(dict(columns)), path, row_group_size=group)
    return path
