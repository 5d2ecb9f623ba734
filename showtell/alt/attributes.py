"""Writing a new file with the owner, group, mode, times and extended attributes of another."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

from showtell.errors import DataError


def write_like(path: Path, content: bytes, like: Path, times: os.stat_result | None = None) -> None:
    """Write a new file, flushed to the disk, that has all attributes of another one.

    Args:
        path: the new file; must not exist.
        content: its content.
        like: the file whose attributes it gets.
        times: times to give it; by default those of `like`.

    Raises:
        DataError: an attribute cannot be kept. The new file is deleted.
        OSError: it cannot be written. The new file is deleted.
    """
    wanted = like.stat()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a file descriptor
            if sys.platform == "darwin":  # Python reads no extended attributes and access lists there
                _copy_by_tool(like, path)
                file.truncate(0)
            file.write(content)
            file.flush()
            _keep_owner(path, wanted, like)
            _keep_extended(path, like)  # before the mode, which may forbid it
            path.chmod(wanted.st_mode & 0o7777)
            source = times or wanted
            os.utime(path, ns=(source.st_atime_ns, source.st_mtime_ns))
            os.fsync(file.fileno())
        _check(path, wanted, source, like)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy_by_tool(like: Path, path: Path) -> None:
    try:
        subprocess.run(["/bin/cp", "-p", "--", str(like), str(path)], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise DataError(f"{like}: its attributes cannot be kept") from error


def _keep_owner(path: Path, wanted: os.stat_result, like: Path) -> None:
    present = path.stat()
    if (present.st_uid, present.st_gid) == (wanted.st_uid, wanted.st_gid):
        return
    try:
        os.chown(path, wanted.st_uid, wanted.st_gid)
    except OSError as error:
        owner = f"{wanted.st_uid}:{wanted.st_gid}"
        raise DataError(
            f"{like}: its owner and group ({owner}) cannot be kept; run as its owner or as root"
        ) from error


def _keep_extended(path: Path, like: Path) -> None:
    wanted, present = _extended(like), _extended(path)
    for name in wanted.keys() | present.keys():
        try:
            if name not in wanted:
                os.removexattr(path, name)
            elif wanted[name] != present.get(name):
                os.setxattr(path, name, wanted[name])
        except OSError as error:
            raise DataError(f"{like}: its extended attribute {name} cannot be kept") from error


def _extended(path: Path) -> dict[str, bytes]:
    if sys.platform != "linux":
        return {}
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # a file system without them
            return {}
        raise


def _check(path: Path, wanted: os.stat_result, times: os.stat_result, like: Path) -> None:
    """Compare what the system made of it."""
    present = path.stat()
    for name, same in {
        "owner and group": (present.st_uid, present.st_gid) == (wanted.st_uid, wanted.st_gid),
        "mode": present.st_mode == wanted.st_mode,
        "time": present.st_mtime_ns == times.st_mtime_ns,
        "extended attributes": _extended(path) == _extended(like),
    }.items():
        if not same:
            raise DataError(f"{like}: its {name} cannot be kept")
