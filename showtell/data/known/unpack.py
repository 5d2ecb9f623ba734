"""Archives of datasets, unpacked file by file: safe names only, and what is there already stays."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
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

_Member = tuple[str, int, Callable[[], IO[bytes] | None]]


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
                parts = PurePosixPath(name.replace("\\", "/")).parts
                if any(is_left_by_system(part) for part in parts if part not in ("..", ".")):
                    continue
                if not name.endswith(only):
                    continue
                if ".." in parts or name.startswith("/") or ":" in parts[0]:
                    raise DataError(f"{archive}: names a file outside of its folder ({name}); it is not used")
                room -= _write(folder.joinpath(*parts), size, opened, room, written)
                count += 1
                if len(written) >= _BATCH:
                    _publish(written)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise DataError(
            f"{archive}: damaged ({error}); delete it and download it again (showtell data get)"
        ) from error
    except RuntimeError as error:  # a password, or a method of compression that Python does not know
        raise DataError(f"{archive}: cannot be unpacked here ({error}); use another program") from error
    finally:
        _publish(written)
    return count


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
        source = opened()
        if source is None:
            return 0
        with source, part.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)
        written[part] = path
    return size


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[int | None, Iterator[_Member]]]:
    """The number of members of an archive (None of a tar, which is read once) and the members."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            yield len(file.namelist()), _zip_members(file)
    else:
        with tarfile.open(archive, "r|*") as tar:
            yield None, _tar_members(tar)


def _zip_members(file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
        if not info.is_dir() and not is_link:
            yield info.filename, info.file_size, lambda info=info: file.open(info)  # type: ignore[misc]


def _tar_members(file: tarfile.TarFile) -> Iterator[_Member]:
    for info in file:
        if info.isreg():
            yield info.name, info.size, lambda info=info: file.extractfile(info)  # type: ignore[misc]
