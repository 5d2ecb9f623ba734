"""Settings of the C library's memory allocator (glibc; other C libraries are left alone)."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any, Final

_M_TRIM_THRESHOLD: Final = -1  # names and values of <malloc.h>
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_BLOCK: Final = 2**30
_LARGEST_BLOCK_OF_OLD_VERSIONS: Final = 2**25
_OWN_SETTINGS: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def malloc_trim() -> bool:
    """Give back what the C library holds free between blocks that are in use.

    Varying batch shapes fragment the heap: free memory that is not returned grows by hundreds of megabytes
    although what is used does not. Takes some tens of milliseconds; without glibc nothing is done.

    Returns:
        Whether there was anything to give back.
    """
    trim = getattr(_libc(), "malloc_trim", None)
    return bool(trim and trim(0))


@cache
def keep_freed_memory() -> bool:
    """Have the C library reuse large blocks that are freed, instead of returning each to the system.

    By default a block of more than 32 MiB, as a batch's activations are, is mapped from the system when it is
    allocated and unmapped when it is freed, so that every batch pays for zeroed pages (see
    docs/speed.md for what it costs). `malloc_trim` still returns free memory.

    The setting is of the whole process. It is left as it is if the environment sets it
    (`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`) or preloads another allocator
    (`LD_PRELOAD`), and if the C library is not glibc.

    Returns:
        Whether it was changed.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is None or any(name in os.environ for name in _OWN_SETTINGS):
        return False
    sizes = (_LARGEST_BLOCK, _LARGEST_BLOCK_OF_OLD_VERSIONS)
    return any(mallopt(_M_MMAP_THRESHOLD, size) for size in sizes) and bool(
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    )


def _libc() -> Any:
    """The C library with glibc's functions, or None: musl and macOS lack them, Windows cannot be asked."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
