"""Exchanging the names of two files, so that what is replaced can still be read afterwards."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

OLD: Final = ".old"
"""Appended to the name of a new file: where the old one is for a moment, on systems that need two steps."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def exchange(new: Path, path: Path) -> bool:
    """Give a new file the name of another one, and that one the name of the new file.

    Linux does both in one step (`renameat2`). Elsewhere the old file gets a second name before the new file
    replaces it; on a file system without hard links it is only replaced.

    Args:
        new: on the same file system as `path`.
        path: the file to replace; at every moment this name is that of a complete file.

    Returns:
        Whether the old file is kept under the name `new`.

    Raises:
        OSError: neither was renamed; EXDEV if they are on different file systems.
    """
    function = _renameat2()
    if function:
        if function(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE) == 0:
            return True
        number = ctypes.get_errno()
        if number not in _UNSUPPORTED:
            raise OSError(number, os.strerror(number), str(path))
    return _exchange_by_link(new, path)


def _exchange_by_link(new: Path, path: Path) -> bool:
    old = new.with_name(new.name + OLD)
    try:
        os.link(path, old)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ENOENT):
            raise
        new.replace(path)  # no hard links there
        return False
    try:
        new.replace(path)
    except OSError:
        with suppress(OSError):
            old.unlink()
        raise
    old.replace(new)
    return True


@cache
def _renameat2() -> Callable[..., int] | None:
    """The C library's function, if there is one."""
    if sys.platform != "linux":
        return None
    try:
        function: Any = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function
