"""The folder of a training run, which one training at a time may write to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from showtell.errors import CheckpointError, ShowtellError, UnknownModelError, UsageError
from showtell.utils.files import reraise_os_error
from showtell.utils.keywords import did_you_mean_path
from showtell.utils.runs import CONFIG, LAST, RUNS, run_folders

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
        wanted: the requested folder.
        resume: continue the run in `wanted` (see `last_run`). Else take the first of `wanted`, `wanted`-2,
            `wanted`-3, ... that holds no run and that no other training has locked.

    Yields:
        The folder, which exists.

    Raises:
        CheckpointError: there is nothing to resume.
        ShowtellError: another process is training in the folder that is to be resumed.
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


def last_run(wanted: Path) -> Path:
    """The last run that is there of `wanted`, `wanted`-2, `wanted`-3, ...

    Raises:
        UnknownModelError: there is none.
    """
    last = None
    for folder in _folders(wanted):
        if not (folder / CONFIG).exists():
            break
        last = folder
    if last is None:
        raise UnknownModelError(
            f"{wanted}: no run to resume there; leave out --resume, or name the run's folder: --resume FOLDER"
        )
    return last


def find_run(name: str) -> Path:
    """The folder of the run that a name stands for: its folder, a file in it, or `last`, the newest run.

    Raises:
        UnknownModelError: there is none.
    """
    path = Path(name)
    if name == LAST and not path.exists():
        return _newest_checkpoint()
    folder = path.parent if path.is_file() else path
    if not (folder / CONFIG).is_file():
        known = [str(run) for run in run_folders()]
        why = f"no {CONFIG} in it" if folder.is_dir() else "no such folder"
        raise UnknownModelError(f"{name}: no run to resume ({why}){did_you_mean_path(name, known)}")
    return folder


def _newest_checkpoint() -> Path:
    """The run that was trained last, which need not have saved a model.

    Raises:
        UnknownModelError: there is none.
    """
    checkpoints = [run / CHECKPOINT for run in run_folders() if (run / CHECKPOINT).is_file()]
    if not checkpoints:
        raise UnknownModelError(f"{LAST}: no run with a checkpoint in {RUNS}/ here; name the run's folder")
    return max(checkpoints, key=lambda path: path.stat().st_mtime).parent


def _resumed(folder: Path) -> tuple[Path, FileLock]:
    if not (folder / CHECKPOINT).exists():
        raise CheckpointError(
            f"{folder}: stopped before its first checkpoint; leave out --resume to start again"
        )
    lock = _locked(folder)
    if lock is None:
        raise ShowtellError(f"{folder}: another process is training there; wait for it, or stop it")
    return folder, lock


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
    """The lock of a folder, which is made if it is missing; None if another process holds it."""
    with reraise_os_error(folder, UsageError):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
    return lock
