"""Work units: some hundred images that one worker reads, and makes one shard of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from showtell.errors import ImageError, UsageError
from showtell.utils.storage import is_remote, open_binary, read_bytes

_ROWS: Final = 64
"""Rows of a Parquet file that are read at once, at most."""
_BYTES: Final = 32 * 2**20
"""Bytes of a Parquet file that are decoded at once, about."""
_MOST: Final = 10_000_000
"""Maximum number of rows per unit."""
_BUFFER: Final = 2**20
"""Bytes of a column that are read from the file at once; without it a whole row group is."""


@dataclass(frozen=True)
class SourceImage:
    """An image of a unit.

    Attributes:
        id: names it among all images of the job.
        file: the file that it is, or is in.
        place: offset and length in bytes of an image within the file.
        content: the bytes of its file, if they have been read already.
        error: why it could not be read, if that has been tried already.
    """

    id: str
    file: str
    place: tuple[int, int] | None = None
    content: bytes | None = None
    error: str | None = None

    def open(self) -> str | bytes:
        """The source to decode: the name of a file, or its bytes. May be called in threads.

        Raises:
            ImageError: the file that the image is in cannot be read.
        """
        if self.error is not None:
            raise ImageError(self.id, self.error)
        if self.content is not None:
            return self.content
        if self.place is None and not is_remote(self.file):
            return self.file
        offset, length = self.place or (None, 0)
        try:
            return read_bytes(self.file, offset, None if offset is None else offset + length)
        except OSError as error:
            raise ImageError(self.id, f"it cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class FileUnit:
    """Files of images.

    Attributes:
        files: their names, which are also their ids.
    """

    kind: ClassVar[str] = "files"
    files: Sequence[str]

    def __len__(self) -> int:
        return len(self.files)

    def images(self) -> Iterator[SourceImage]:
        """The images, in order."""
        return (SourceImage(name, name) for name in self.files)

    def ids(self) -> list[str] | None:
        """The ids of its images."""
        return list(self.files)


@dataclass(frozen=True)
class TarUnit:
    """Images within a tar file, as WebDataset has them.

    Attributes:
        file: the tar file, which is not compressed.
        members: name, offset and length in bytes of each; its id is `file/name`.
    """

    kind: ClassVar[str] = "tar"
    file: str
    members: Sequence[tuple[str, int, int]]

    def __len__(self) -> int:
        return len(self.members)

    def images(self) -> Iterator[SourceImage]:
        """The images, in order; they are read when they are opened."""
        return (
            SourceImage(f"{self.file}/{name}", self.file, (offset, length))
            for name, offset, length in self.members
        )

    def ids(self) -> list[str] | None:
        """The ids of its images."""
        return [f"{self.file}/{name}" for name, _, _ in self.members]


@dataclass(frozen=True)
class ParquetUnit:
    """Rows of a Parquet file.

    Attributes:
        file: the Parquet file.
        group: its row group.
        start: the first row, within the group.
        stop: one more than the last.
        first: number of the group's first row within the file.
        column: holds the images: bytes, a struct with `bytes` and `path` (as Hugging Face datasets have
            it), or text: names of files, from the Parquet file's folder.
        id_column: names them, else they are numbered; the id is `file/name`.
    """

    kind: ClassVar[str] = "parquet"
    file: str
    group: int
    start: int
    stop: int
    first: int
    column: str
    id_column: str | None

    def __len__(self) -> int:
        return self.stop - self.start

    def images(self) -> Iterator[SourceImage]:
        """The images, in order, read a few at a time; if the file is damaged, each with that error."""
        arrow, row = import_pyarrow(), self.start
        try:
            for batch in self._batches():
                names = batch[self.id_column].to_pylist() if self.id_column else [None] * batch.num_rows
                for value, name in zip(batch[self.column], names, strict=True):
                    yield self._image(value.as_py(), self.first + row if name is None else name)
                    row += 1
        except (OSError, arrow.ArrowException) as error:
            reason = f"its Parquet file cannot be read ({' '.join(str(error).split())})"
            for lost in range(self.first + row, self.first + self.stop):
                yield SourceImage(f"{self.file}/{lost}", self.file, error=reason)

    def ids(self) -> list[str] | None:
        """The ids of its images; None if a column of the file names them."""
        if self.id_column is not None:
            return None
        return [f"{self.file}/{self.first + row}" for row in range(self.start, self.stop)]

    def _batches(self) -> Iterator[Any]:
        """Some rows at a time: about as many as `_BYTES` hold, of a column that is read piece by piece."""
        columns = [self.column, *([self.id_column] if self.id_column else [])]
        read = 0
        with open_parquet(self.file, buffer_size=_BUFFER, pre_buffer=False) as parquet:
            group = parquet.metadata.row_group(self.group)
            rows = min(_ROWS, max(1, _BYTES * group.num_rows // max(group.total_byte_size, 1)))
            for batch in parquet.iter_batches(rows, row_groups=[self.group], columns=columns):
                low, high = max(self.start - read, 0), min(self.stop - read, batch.num_rows)
                if high <= 0:
                    return
                if low < high:
                    yield batch.slice(low, high - low)
                read += batch.num_rows

    def _image(self, value: object, name: object) -> SourceImage:
        key = f"{self.file}/{name}"
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str):
            folder = self.file.rpartition("/")[0] if is_remote(self.file) else str(Path(self.file).parent)
            return SourceImage(key, value if is_remote(value) else _join(folder, value))
        return SourceImage(key, self.file, content=value if isinstance(value, bytes) else b"")


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if is_remote(folder) else str(Path(folder, name))


Unit = FileUnit | TarUnit | ParquetUnit

_KINDS: Final[dict[str, type[Unit]]] = {kind.kind: kind for kind in (FileUnit, TarUnit, ParquetUnit)}


def unit_to_json(unit: Unit) -> str:
    """A unit as a line of text."""
    return json.dumps({"kind": unit.kind, **asdict(unit)}) + "\n"


def unit_from_json(text: str) -> Unit:
    """A unit of a line that `unit_to_json` made.

    Raises:
        ValueError: it is something else.
    """
    try:
        values = json.loads(text)
        unit = _KINDS[values.pop("kind")](**values)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no work unit ({error})") from error
    if not _is_sound(unit):
        raise ValueError("a work unit with values of other types")
    return unit


def _is_sound(unit: Unit) -> bool:
    """Whether the values of a unit that was read from a file are of the right types."""
    match unit:
        case FileUnit(files=list(files)):
            return all(isinstance(name, str) for name in files)
        case TarUnit(file=str(), members=list(members)):
            return all(map(_is_member, members))
        case ParquetUnit(file=str(), column=str(), id_column=str() | None):
            numbers = (unit.group, unit.start, unit.stop, unit.first)
            sound = all(type(number) is int and number >= 0 for number in numbers)
            return sound and unit.stop - unit.start <= _MOST
    return False


def _is_member(member: object) -> bool:
    match member:
        case [str(), int() as offset, int() as length]:
            return offset >= 0 and length >= 0
    return False


def import_pyarrow() -> Any:
    """The package `pyarrow`, with its Parquet reader.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401 - an attribute of what is returned
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Parquet files need {error.name}: install it with pip install 'showtell[scale]'"
        ) from error
    return pyarrow


@contextmanager
def open_parquet(name: str, **options: Any) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile` of a path or an address.

    Raises:
        UsageError: pyarrow is not installed.
        OSError: the file cannot be read.
    """
    parquet_file = import_pyarrow().parquet.ParquetFile
    if not is_remote(name):
        with parquet_file(name, **options) as parquet:
            yield parquet
        return
    with open_binary(name) as file, parquet_file(file, **options) as parquet:
        yield parquet
