"""The folder of a training run, which one training at a time may write to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from showtell.errors import CheckpointError, ShowtellError, UsageError
from showtell.utils.files import reraise_os_error

CONFIG: Final = "config.yaml"
"""The settings of a run; a folder that has them is taken."""
HISTORY: Final = "history.csv"
"""Losses and scores of each epoch."""
CHECKPOINT: Final = "last.ckpt"
"""The state of training after an epoch, from which it resumes."""
LOCK: Final = ".lock"


@contextmanager
def run_folder(wanted: Path, *, resume: bool) -> Iterator[Path]:
    """A folder for a run, locked for the length of the block.

    The lock ends with the process, so that a killed run can be resumed at once.

    Args:
        wanted: the folder that is asked for.
        resume: go on with a run: take the last one that is there of `wanted`, `wanted`-2, `wanted`-3, ...
            Else take the first of them that holds no run and that no other training has locked.

    Yields:
        The folder, which exists.

    Raises:
        CheckpointError: there is nothing to resume.
        ShowtellError: another training is going on in the folder that is to be resumed.
        UsageError: the folder cannot be written.
    """
    folder, lock = _resumed(wanted) if resume else _new(wanted)
    try:
        yield folder
    finally:
        _remove_if_unused(folder)  # while it is locked: nobody else has taken it
        lock.release()


def _new(wanted: Path) -> tuple[Path, FileLock]:
    for folder in _folders(wanted):
        if (folder / CONFIG).exists():
            continue
        lock = _locked(folder)
        if lock is None:
            continue
        if not (folder / CONFIG).exists():  # else a run took it, and ended, between the two looks
            return folder, lock
        lock.release()
    raise AssertionError  # `_folders` has no end


def _resumed(wanted: Path) -> tuple[Path, FileLock]:
    last = None
    for folder in _folders(wanted):
        if not (folder / CONFIG).exists():
            break
        last = folder
    if last is None:
        raise CheckpointError(
            f"{wanted}: no run to resume there; leave out --resume, or name its folder with --out"
        )
    if not (last / CHECKPOINT).exists():
        raise CheckpointError(
            f"{last}: stopped before its first checkpoint; leave out --resume to start again"
        )
    lock = _locked(last)
    if lock is None:
        raise ShowtellError(f"{last}: another training is going on there; wait for it, or stop it")
    return last, lock


def _remove_if_unused(folder: Path) -> None:
    """Remove a folder in which nothing was written, because the run failed before."""
    if [path.name for path in folder.iterdir()] == [LOCK]:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            (folder / LOCK).unlink()
            folder.rmdir()


def _folders(wanted: Path) -> Iterator[Path]:
    yield wanted
    yield from (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))


def _locked(folder: Path) -> FileLock | None:
    """The lock of a folder, which is made where it is missing; None where another training has it."""
    with reraise_os_error(folder, UsageError):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
    return lock
