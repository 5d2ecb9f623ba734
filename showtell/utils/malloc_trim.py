"""Give memory that is free back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def malloc_trim() -> bool:
    """Give back what the C library holds free between blocks that are in use.

    Varying batch shapes fragment the heap: free memory that is not returned grows by hundreds of megabytes
    although what is used does not. Takes some tens of milliseconds; without glibc nothing is done.

    Returns:
        Whether there was anything to give back.
    """
    trim = _malloc_trim()
    return bool(trim and trim(0))


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return None
    return trim
