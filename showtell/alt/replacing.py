"""Replacing a file in one step, only if it still is what was read, so that no edit of others is lost."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import lock_descriptor

from showtell.alt.attributes import write_like
from showtell.alt.exchange import OLD, exchange
from showtell.errors import DataError
from showtell.utils.files import sync_folder

_LOCK_SECONDS: Final = 2.0
_READ: Final = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)


def replace_file(
    path: Path,
    old: bytes,
    new: bytes,
    temporaries: tuple[Path, ...],
    note: Callable[[Path, bool], None],
    times: os.stat_result | None = None,
) -> Path:
    """Replace a file by one that has its owner, group, mode, times and extended attributes.

    The new file is complete on the disk before it is exchanged with the old one, under an advisory lock and
    right after the old content was compared. The old file is then compared once more: what another program
    has written to it in between is put back.

    Args:
        path: the file; no link.
        old: its content when it was read.
        new: its new content.
        temporaries: names for the new file. The first one is taken that is on the file system of `path`.
        note: called with the name of the new file before it is made (with False), and when it is complete,
            before the file is replaced (with True).
        times: times to give it; by default those that it has.

    Returns:
        The file that was replaced, under the name of a temporary one; it may be gone already.

    Raises:
        DataError: the file is another one by now, is locked or open for writing, has several names, or
            an attribute cannot be kept. It is as it was.
        OSError: no room, or no permission. It is as it was.
    """
    check_replaceable(path)
    for temporary in temporaries:
        try:
            note(temporary, False)
            write_like(temporary, new, path, times)
            note(temporary, True)
            _put_in_place(temporary, path, old, new)
        except OSError as error:
            discard(temporary, old, new)
            if error.errno != errno.EXDEV or temporary == temporaries[-1]:
                raise
        except BaseException:
            discard(temporary, old, new)
            raise
        else:
            with suppress(OSError):  # it is done; some file systems cannot flush a folder
                sync_folder(path.parent)
            return temporary
    raise ValueError("no name for the new file")


def check_replaceable(path: Path) -> None:
    """Refuse what cannot be replaced without harm.

    Raises:
        DataError: a pipe, a device, a folder or a link; or a file with several names, which would be parted.
        OSError: it cannot be looked at.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: not a regular file; it is left alone")
    if status.st_nlink > 1:
        raise DataError(
            f"{path}: it has {status.st_nlink} names (hard links), which would be parted; it is left alone"
        )


def holds(path: Path, content: bytes) -> bool:
    """Whether this is a regular file with this content."""
    try:
        handle = os.open(path, _READ)
    except OSError:
        return False
    with open(handle, "rb") as file:  # noqa: PTH123 - a file descriptor
        return stat.S_ISREG(os.fstat(handle).st_mode) and file.read(len(content) + 1) == content


def discard(temporary: Path, *known: bytes) -> bool:
    """Delete a temporary file whose content is known, and not one that may hold an edit of somebody.

    Returns:
        Whether nothing is left of it.
    """
    left = False
    for path in (temporary, temporary.with_name(temporary.name + OLD)):
        if any(_is_still(path, content) for content in known):
            path.unlink()
        left = left or path.exists()
    return not left


def _put_in_place(temporary: Path, path: Path, old: bytes, new: bytes) -> None:
    with _locked(path):
        if not holds(path, old):
            raise _changed(path)
        if not exchange(temporary, path) or _is_still(temporary, old):
            return
        exchange(temporary, path)  # it was edited after it was compared: the edit gets its name back
        if _is_still(temporary, new):
            raise _changed(path)
        exchange(temporary, path)  # the new one was edited too: the later edit keeps the name
        raise DataError(f"{path}: it was edited twice while it was replaced; the first edit: {temporary}")


def _changed(path: Path) -> DataError:
    return DataError(f"{path}: it has changed since it was read, or is open for writing; run again")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock (`flock`) that other programs may take on the file itself.

    Raises:
        DataError: another program keeps it for more than two seconds.
    """
    handle = os.open(path, _READ)
    try:
        end = time.monotonic() + _LOCK_SECONDS
        with suppress(OSError):  # a file system without locks
            while not lock_descriptor(handle, blocking=False):
                if time.monotonic() > end:
                    raise DataError(f"{path}: another program has locked it; run again")
                time.sleep(0.02)
        if sys.platform == "win32":  # an open file cannot be renamed there
            os.close(handle)
            handle = -1
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def _is_still(temporary: Path, content: bytes) -> bool:
    """Whether a file that nobody else opens by its name has this content, and keeps it.

    A program that opened the file under its former name may still write to it. Linux tells: it gives no lease
    on a file that is open for writing.
    """
    if sys.platform == "linux":
        import fcntl

        try:
            handle = os.open(temporary, _READ)
        except OSError:
            return False
        try:
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default, unlike SIGIO
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
        finally:
            os.close(handle)
    return holds(temporary, content)
