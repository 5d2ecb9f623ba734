"""Atomic writes of files and folders, also if the process is killed; bounded reads of small files.

A new file or folder has the name `.<16 hexadecimal digits>.tmp` until it is complete. Its writer holds a lock
on it (`flock`), which ends with the process. So the next run can distinguish what a killed one has left
from what another run is writing, and deletes it.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from showtell.errors import ShowtellError, WriteError

if os.name != "nt":
    import fcntl

MAX_TEXT_BYTES: Final = 8 * 2**20
"""Size of the largest description (JSON, YAML) that is read; those of showtell take a few hundred kB."""

_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Write a whole file: afterwards it is there complete, or as it was before.

    The content goes to a new file in the same folder, is flushed to the disk, and takes the name in one step
    (`os.replace`); then the folder is flushed too. Folders that are missing are made. A file that is replaced
    keeps its permissions.

    Args:
        path: the file to write or replace.
        content: its bytes, or its text (written as UTF-8, line ends as they are).

    Returns:
        The path.

    Raises:
        WriteError: the file cannot be written (no room, no permission); what was there before is untouched.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with reraise_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean_once(str(path.parent.resolve()))
        temporary, handle = _new_file(path.parent)
        try:
            if os.name != "nt" and path.exists():
                os.fchmod(handle, stat.S_IMODE(path.stat().st_mode))
            with open(handle, "wb") as file:  # noqa: PTH123 - a file descriptor
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":  # there an open file cannot be renamed
                    temporary.replace(path)
            if os.name == "nt":
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    return path


def require_writable(path: Path, kind: type[ShowtellError] = ShowtellError) -> None:
    """See whether a file or folder can be made there, before work begins whose result would be lost.

    Nothing is left behind: a file without a name is made in the nearest folder that exists.

    Args:
        path: a file or folder that is to be written; the folders above it may be missing.
        kind: class of the error.

    Raises:
        ShowtellError: it cannot be written (an error of `kind`).
    """
    with reraise_os_error(path, kind):
        folder = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if path.is_file():
            folder = path.absolute().parent
        elif not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file", str(path))
        with tempfile.TemporaryFile(dir=folder):
            pass


def durable_rename(temporary: Path, path: Path) -> None:
    """Give a complete file, which has been flushed to the disk, its name, and flush the folder's entry.

    Raises:
        OSError: it cannot be renamed.
    """
    temporary.replace(path)
    sync_folder(path.parent)


def durable_rename_all(files: Mapping[Path, Path]) -> None:
    """Give many complete files their names, after one flush of all that was written, and flush the folders.

    For tens of thousands of small files: a flush for each would take the most of the time.

    Args:
        files: temporary file -> its name.

    Raises:
        OSError: one cannot be renamed.
    """
    if hasattr(os, "sync"):  # not on Windows
        os.sync()
    for temporary, path in files.items():
        temporary.replace(path)
    for folder in {path.parent for path in files.values()}:
        sync_folder(folder)


@contextmanager
def atomic_folder(folder: Path, *, replace: bool = True) -> Iterator[Path]:
    """A temporary folder beside `folder` for the block to fill, which takes its name when the block ends.

    All files in it are flushed to the disk before. After an error in the block, `folder` is as it was.

    Args:
        folder: the folder to write.
        replace: replace what is in `folder` by then, as a whole; else it has to be empty, or missing.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clean_once(str(folder.parent.resolve()))
    fresh, old = (folder.parent / _temporary_name() for _ in range(2))
    fresh.mkdir()
    handle = _locked_folder(fresh)
    try:
        yield fresh
        _sync_tree(fresh)
        if folder.exists():
            if replace:
                folder.rename(old)
            else:
                folder.rmdir()
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        sync_folder(folder.parent)
    finally:
        if handle is not None:
            os.close(handle)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)


def path_exists(path: Path) -> bool:
    """Whether there is a file or folder; False too if its name is none (pathlib raises OSError: too long)."""
    return os.path.exists(path)  # noqa: PTH110


def readable_size(size: int) -> str:
    """A number of bytes for people: `16 MB`, in powers of 1,000."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = next((power for power in range(len(units)) if size < 1000 ** (power + 1)), len(units) - 1)
    value = size / 1000**power
    return f"{value:.1f} {units[power]}" if value < 10 and power else f"{value:.0f} {units[power]}"


def remove_abandoned(folder: Path) -> list[str]:
    """Delete temporary files and folders that killed processes have left in a folder.

    Those that a living process is writing are locked and stay.

    Returns:
        Names of what was deleted.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]
    except OSError:
        return []
    return [name for name in names if _remove_unless_locked(folder / name)]


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder, if the system has such a thing (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_small(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a regular file of bounded size.

    Args:
        path: the file, or a symbolic link to it. Named pipes and devices are refused without being read.
        limit: bytes at most.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:  # noqa: PTH123 - a file descriptor
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1) if status.st_size <= limit else None
    if content is None or len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return content


def read_json(path: Path, limit: int = MAX_TEXT_BYTES) -> dict[str, Any]:
    """The JSON object in a regular file of bounded size.

    Raises:
        OSError: see `read_small`.
        ValueError: it is not JSON, no object, or nested too deeply.
    """
    try:
        values = json.loads(read_small(path, limit))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what the file holds, not an argument
    return values


@contextmanager
def reraise_os_error(path: Path, kind: type[ShowtellError] | None = None) -> Iterator[None]:
    """Turn an OSError of the block into one line that names the file which could not be written.

    Args:
        path: the file.
        kind: class of the new error; by default WriteError, which is also an OSError.

    Raises:
        WriteError: in place of an OSError that is no WriteError yet (or an error of `kind`).
    """
    try:
        yield
    except OSError as error:
        if kind is None and isinstance(error, WriteError):
            raise
        reason = error.strerror or str(error)
        if kind is None:
            raise WriteError(str(path), reason, error.errno) from error
        raise kind(f"{path}: cannot be written ({reason})") from error


def _temporary_name() -> str:
    return f".{secrets.token_hex(8)}.tmp"


def _new_file(folder: Path) -> tuple[Path, int]:
    """A new file with a temporary name, open for writing and locked."""
    while True:
        path = folder / _temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags, 0o666)
        if os.name == "nt":
            return path, handle
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # `remove_abandoned` of another process came between the two calls


def _locked_folder(folder: Path) -> int | None:
    if os.name == "nt":
        return None
    handle = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


@functools.lru_cache(maxsize=10_000)
def _clean_once(folder: str) -> None:
    """Delete what killed processes have left in a folder, before the first write of this process there."""
    remove_abandoned(Path(folder))


def _remove_unless_locked(path: Path) -> bool:
    """Delete a temporary file or folder whose writer is gone; whether it was deleted."""
    try:
        if os.name == "nt":  # an open file cannot be deleted there
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            return True
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()
        finally:
            os.close(handle)
    except OSError:
        return False
    return True


def _sync_tree(folder: Path) -> None:
    """Flush all files and folders below a folder to the disk."""
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("r+b") as file:
                os.fsync(file.fileno())
