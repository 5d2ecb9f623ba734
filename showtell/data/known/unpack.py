"""Archives of datasets, unpacked file by file: safe names only, and what is there already stays."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final

from tqdm import tqdm

from showtell.data.find_images import is_left_by_system
from showtell.errors import DataError, UsageError
from showtell.utils.files import durable_rename_all, reraise_os_error
from showtell.utils.progress import bars_hidden

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
_RESERVE: Final = 2**26
_BATCH: Final = 2000
"""Files that get their names together, after one flush to the disk."""

_GZIP: Final = b"\x1f\x8b"

_Member = tuple[str, int, Callable[[], IO[bytes] | None]]


class _DamagedError(Exception):
    """A file of an archive cannot be decompressed."""


_DAMAGE: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, UnicodeDecodeError, _DamagedError),  # UnicodeDecodeError: the name of a member
)


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.name.lower().endswith(ARCHIVES)


def unpack(archive: Path, folder: Path, *, only: str = "") -> int:
    """Unpack an archive; a file that is there with its full size is not written again.

    Links, hidden files and what systems leave (`__MACOSX`) are left out.

    Args:
        archive: .zip, .tar, .tar.gz or .tgz.
        folder: where its files go.
        only: the end of the names that are taken; empty for all.

    Returns:
        How many files are there.

    Raises:
        DataError: the archive is damaged, or names a file outside of the folder.
        UsageError: there is no room for it.
    """
    count = 0
    written: dict[Path, Path] = {}
    try:
        with _opened(archive) as (total, members):
            room = shutil.disk_usage(folder if folder.exists() else archive.parent).free - _RESERVE
            for name, size, opened in tqdm(
                members, total=total, desc=archive.name, unit="file", disable=bars_hidden()
            ):
                parts = _parts(name, archive)
                if not parts or any(map(is_left_by_system, parts)) or not name.endswith(only):
                    continue
                room -= _write(folder.joinpath(*parts), size, opened, room, written)
                count += 1
                if len(written) >= _BATCH:
                    _publish(written)
    except _DAMAGE as error:
        raise DataError(
            f"{archive}: damaged ({error}); delete it and download it again (showtell data get)"
        ) from error
    except RuntimeError as error:  # a password, or a method of compression that Python does not know
        raise DataError(f"{archive}: cannot be unpacked here ({error}); use another program") from error
    finally:
        _publish(written)
    return count


def _parts(name: str, archive: Path) -> tuple[str, ...]:
    """The folders and the name of a member; none if it is a folder itself.

    Raises:
        DataError: it is outside of the folder that the archive is unpacked to.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or _has_drive(path.parts):
        raise DataError(f"{archive}: names a file outside of its folder ({name}); it is not used")
    return () if name.endswith(("/", "\\")) else path.parts


def _has_drive(parts: Sequence[str]) -> bool:
    """Whether a path has a drive of Windows at its beginning or as a part; on Windows, in any part."""
    drives = [PureWindowsPath(part).drive for part in parts]
    if os.name == "nt":
        return any(drives)
    return any(drives[:1]) or any(drive == part for drive, part in zip(drives, parts, strict=True) if drive)


def _publish(written: dict[Path, Path]) -> None:
    """Give the files of a batch their names."""
    if written:
        with reraise_os_error(next(iter(written.values()))):
            durable_rename_all(written)
        written.clear()


def _write(
    path: Path, size: int, opened: Callable[[], IO[bytes] | None], room: int, written: dict[Path, Path]
) -> int:
    """Write a file under a temporary name and note it in `written`; returns the bytes that it took."""
    if path.is_file() and path.stat().st_size == size:
        return 0
    if size > room:
        raise UsageError(f"{path}: no room for it; make room, or choose another --root")
    with reraise_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as file:
            for chunk in _chunks(opened):
                file.write(chunk)
        written[part] = path
    return size


def _chunks(opened: Callable[[], IO[bytes] | None]) -> Iterator[bytes]:
    """The content of a member. Damage can raise an OSError (seek, bz2), which is not the disk's."""
    try:
        source = opened()
        if source is None:
            return
        with source:
            while chunk := source.read(2**20):
                yield chunk
    except OSError as error:
        raise _DamagedError(error.strerror or str(error)) from error


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[int | None, Iterator[_Member]]]:
    """The number of members of an archive (None of a tar, which is read once) and the members."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            yield len(file.namelist()), _zip_members(file)
        return
    with archive.open("rb") as file:
        if file.peek(2)[:2] != _GZIP:
            with tarfile.open(fileobj=file, mode="r|*") as tar:
                yield None, _tar_members(tar)
            return
        with gzip.open(file) as content, tarfile.open(fileobj=content, mode="r|") as tar:
            yield None, _tar_members(tar)
            _read_to_end(content)


def _read_to_end(content: gzip.GzipFile) -> None:
    """Read what follows a tar: gzip's checksum, which tarfile does not check, is at the end.

    Bytes after the end of the gzip data are ignored, as gzip does.
    """
    try:
        while content.read(2**20):
            pass
    except gzip.BadGzipFile as error:
        if not str(error).startswith("Not a gzipped file"):
            raise


def _zip_members(file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
        if not info.is_dir() and not is_link:
            yield info.filename, info.file_size, lambda info=info: file.open(info)  # type: ignore[misc]


def _tar_members(file: tarfile.TarFile) -> Iterator[_Member]:
    for info in file:
        if info.isreg():
            yield info.name, info.size, lambda info=info: file.extractfile(info)  # type: ignore[misc]
