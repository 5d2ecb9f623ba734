"""Sources of images: tar shards, Parquet files, and the units and contents that are read from them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from showtell.scale.listing import Columns, list_units
from showtell.scale.units import Unit


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


def list_all(*sources: Path | str, size: int = 10, columns: Columns | None = None) -> list[Unit]:
    return list(list_units([str(source) for source in sources], size, columns))


def contents(units: Iterable[Unit]) -> list[tuple[str, bytes]]:
    """Id and bytes of each image."""
    opened = [(image.id, image.open()) for unit in units for image in unit.images()]
    return [(name, Path(it).read_bytes() if isinstance(it, str) else it) for name, it in opened]
