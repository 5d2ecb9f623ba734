"""Locks of a job's folder: one run or several parts; one process at a time changes the job's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from showtell.errors import ShowtellError, UsageError
from showtell.scale.parts import WHOLE, Part
from showtell.utils.storage import is_remote

_RUN: Final = ".lock"
_FILES: Final = ".lock-files"
_PART: Final = ".lock-part-"
_SECONDS: Final = 0.1
_LISTING_SECONDS: Final = 24 * 3600.0
"""Listing millions of photos takes long, and the other parts wait for it."""


@contextmanager
def exclusive_run(folder: Path, part: Part = WHOLE) -> Iterator[None]:
    """Keep other runs of the job, or of this part of it, from the folder meanwhile.

    They would do the same work once more; no result would be wrong. Object stores have no locks: nothing is
    checked there.

    Raises:
        ShowtellError: there is another run.
        UsageError: the folder cannot be written.
    """
    if is_remote(folder):
        yield
        return
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if part == WHOLE:
                held.enter_context(FileLock(folder / _RUN).acquire(timeout=_SECONDS))
                for path in folder.glob(f"{_PART}*"):
                    held.enter_context(FileLock(path).acquire(timeout=_SECONDS))
            else:
                with FileLock(folder / _RUN).acquire(timeout=_SECONDS * 50):  # parts try this one in turn
                    name = f"{_PART}{part.number}-of-{part.count}"
                    held.enter_context(FileLock(folder / name).acquire(timeout=_SECONDS))
        except Timeout as error:
            raise ShowtellError(f"{folder}: another run is writing there; wait for it, or stop it") from error
        except OSError as error:
            raise UsageError(f"{folder}: it cannot be written ({error.strerror or error})") from error
        yield


@contextmanager
def job_files_lock(folder: Path) -> Iterator[None]:
    """One process at a time changes `job.json`, `units.jsonl` and `checksums.jsonl`.

    Raises:
        OSError: the folder cannot be written.
    """
    if is_remote(folder):
        yield
        return
    with FileLock(folder / _FILES).acquire(timeout=_LISTING_SECONDS):
        yield
