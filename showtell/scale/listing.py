"""List the source images and divide them into work units."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from showtell.data.decode_ahead import batched
from showtell.data.find_images import CONTAINERS, IMAGE_SUFFIXES, find_images
from showtell.errors import DataError, UsageError
from showtell.scale.units import FileUnit, ParquetUnit, TarUnit, Unit, import_pyarrow, open_parquet
from showtell.utils.storage import is_remote, list_remote, open_binary

COLUMNS: Final = ("image", "bytes", "jpg", "jpeg", "png", "webp", "path")
"""Usual names of the image column of a Parquet file, in order of preference."""
ID_COLUMNS: Final = ("id", "key", "__key__", "path")
"""Usual names of the column that names the images, in order of preference."""


@dataclass(frozen=True)
class Columns:
    """Columns of the Parquet files; None: the first of the usual names that is there.

    Attributes:
        image: holds the images.
        id: names them.
    """

    image: str | None = None
    id: str | None = None


def list_units(sources: Sequence[str], size: int, columns: Columns | None = None) -> Iterator[Unit]:
    """Divide sources into work units; the same sources always give the same units.

    Args:
        sources: files, folders (with all that is in them), globs, also as addresses (`s3://bucket/photos`);
            `-` for names on standard input. What ends
            in `.tar` or `.parquet` holds images, everything else is one.
        size: maximum number of images per unit.
        columns: of the Parquet files.

    Yields:
        Units, in the order of the sources; each file is in one of them, however often it is named.

    Raises:
        UsageError: a folder or glob without images, a Parquet file without a column of them.
        DataError: a Parquet or tar file cannot be read.
    """
    names = dict.fromkeys(_named(sources))
    for suffix, group in itertools.groupby(names, _container):
        if suffix == ".tar":
            yield from itertools.chain.from_iterable(_tar_units(name, size) for name in group)
        elif suffix == ".parquet":
            parquet_columns = columns or Columns()
            yield from itertools.chain.from_iterable(
                _parquet_units(name, size, parquet_columns) for name in group
            )
        else:
            yield from map(FileUnit, batched(group, size))


def _named(sources: Sequence[str]) -> Iterator[str]:
    """The files of sources, paths and addresses, in their order."""
    suffixes = IMAGE_SUFFIXES | CONTAINERS
    listed = [
        list_remote(source, suffixes) if is_remote(source) else find_images([source], suffixes=suffixes)
        for source in sources
    ]
    return itertools.chain.from_iterable(listed)


def _container(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if suffix in CONTAINERS else ""


def _tar_units(name: str, size: int) -> Iterator[Unit]:
    for members in batched(_members(name), size):
        yield TarUnit(name, members)


def _members(name: str) -> Iterable[tuple[str, int, int]]:
    """Name, offset and length of the images of a tar file; of several of one name, of the last."""
    members: dict[str, tuple[str, int, int]] = {}
    try:
        with open_binary(name) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isreg() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    members[member.name] = (member.name, member.offset_data, member.size)
    except (OSError, tarfile.TarError) as error:
        raise DataError(
            f"{name}: it cannot be read as a tar file ({error}); unpack it if it is compressed, make it again"
            " if it is damaged, or leave it out"
        ) from error
    return members.values()


def _parquet_units(name: str, size: int, columns: Columns) -> Iterator[Unit]:
    arrow = import_pyarrow()
    try:
        with open_parquet(name) as parquet:
            schema, footer = parquet.schema_arrow, parquet.metadata
            groups = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"{name}: it cannot be read as a Parquet file ({error})") from error
    column = _pick(name, schema, columns.image, COLUMNS, "--column")
    if column is None:
        raise UsageError(
            f"{name}: none of its columns ({', '.join(schema.names)}) has a usual name of photos; name the"
            " column with --column"
        )
    id_column = _pick(name, schema, columns.id, ID_COLUMNS, "--id-column")
    firsts = itertools.accumulate(groups, initial=0)
    for number, (rows, first) in enumerate(zip(groups, firsts, strict=False)):
        for start in range(0, rows, size):
            stop = min(start + size, rows)
            yield ParquetUnit(name, number, start, stop, first, column, id_column)


def _pick(name: str, schema: Any, asked: str | None, usual: Sequence[str], option: str) -> str | None:
    """The column to take: the one that is asked for, else the first of the usual ones."""
    if asked is not None and asked not in schema.names:
        raise UsageError(f"{option} {asked}: {name} has only the columns {', '.join(schema.names)}")
    return asked or next((column for column in usual if column in schema.names), None)
