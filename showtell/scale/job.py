"""The output folder of a job: what is asked for, the work units, and which of them are done.

job.json       the settings; a job of other settings does not go on in this folder
units.jsonl    the work units, as the images were listed when the job began
*-00000.*      a shard for each unit, by its number
failed.jsonl   images that could not be shown, written when all units are done
checksums.jsonl  a line for each shard (see `checksums.py`)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from showtell.errors import DataError, ModelError, ShowtellError, UsageError
from showtell.scale.checksums import FILE_NAME as CHECKSUMS
from showtell.scale.units import Unit, unit_from_json, unit_to_json
from showtell.utils.files import read_json, write_atomic

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "job.json"
UNITS: Final = "units.jsonl"
FAILED: Final = "failed.jsonl"
_MADE_BY: Final = "made_by"
_SHARDS: Final = re.compile(r"[A-Za-z0-9_-]+\{\}\.[a-z]+")
"""File name of a shard, with `{}` where its number goes."""


@dataclass(frozen=True)
class Job:
    """A job and its folder.

    Attributes:
        folder: where the shards go.
        shards: file name of a unit's shard, with `{}` where its number goes.
        units: all work units; the number of one is its place.
    """

    folder: Path
    shards: str
    units: tuple[Unit, ...]

    def shard(self, number: int) -> Path:
        """The shard of a unit."""
        return self.folder / self.shards.format(f"{number:05}")

    def missing(self) -> list[int]:
        """Numbers of the units whose shard is not there."""
        there = {path.name for path in self.folder.iterdir()}
        return [number for number in range(len(self.units)) if self.shard(number).name not in there]

    def images(self, numbers: Iterable[int]) -> int:
        """Number of images of some units."""
        return sum(len(self.units[number]) for number in numbers)


def open_job(
    folder: Path, shards: str, settings: Mapping[str, Any], list_units: Callable[[], Iterable[Unit]]
) -> Job:
    """Begin a job in a folder, or go on with the one that is there.

    Args:
        folder: made where it is missing.
        shards: file name of a shard (see `Job`).
        settings: all that decides what the shards hold; plain values.
        list_units: lists the images, when the job begins.

    Raises:
        UsageError: the folder holds a job of other settings, or other files; or it cannot be written.
        DataError: a source cannot be read, or the folder's files are damaged.
    """
    settings = json.loads(json.dumps({"version": FORMAT_VERSION, "shards": shards, **settings}))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _has_shards(folder):
            # The list first: where the settings are, it is complete.
            write_atomic(folder / UNITS, "".join(map(unit_to_json, list_units())))
            write_atomic(folder / FILE_NAME, json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{folder}: it cannot be written ({error.strerror or error})") from error
    known = read_settings(folder)
    known.pop(_MADE_BY, None)
    if known != settings:
        others = [name for name in settings.keys() | known.keys() if settings.get(name) != known.get(name)]
        raise UsageError(
            f"{folder}: holds a job with other settings ({', '.join(sorted(others))}); name another folder"
            " with --out, or give the settings that are in its job.json"
        )
    return read_job(folder)


def _has_shards(folder: Path) -> bool:
    """Whether there is a job with work that is done; one without may as well begin anew."""
    own = (FILE_NAME, UNITS, FAILED, CHECKSUMS)
    others = [
        path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name not in own
    ]
    if others and not (folder / FILE_NAME).exists():
        raise UsageError(f"{folder}: holds other files ({min(others)}); name an empty folder with --out")
    return bool(others)


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of the job in a folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        settings = read_json(folder / FILE_NAME)
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no job there; make one with showtell scale") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder / FILE_NAME}: damaged ({error}); delete the folder and run again"
        ) from error
    if not isinstance(settings.get("shards"), str) or not _SHARDS.fullmatch(settings["shards"]):
        raise DataError(f"{folder / FILE_NAME}: damaged (no name of shards); delete the folder and run again")
    return settings


def read_job(folder: Path) -> Job:
    """The job in a folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    shards = read_settings(folder)["shards"]
    try:
        with (folder / UNITS).open(encoding="utf-8") as file:
            return Job(folder, shards, tuple(map(unit_from_json, file)))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / UNITS}: damaged ({error}); delete the folder and run again") from error


def check_producer(job: Job, number: int, producer: str) -> None:
    """Take note of what made the first shard, and hold all others to it.

    Args:
        job: the job.
        number: of a unit that has just been done.
        producer: fingerprint of what made its shard.

    Raises:
        ModelError: it is another; the shard is deleted.
    """
    settings = read_settings(job.folder)
    known = settings.get(_MADE_BY)
    if known is None:
        text = json.dumps(settings | {_MADE_BY: producer}, indent=1)
        write_atomic(job.folder / FILE_NAME, text + "\n")
    elif known != producer:
        job.shard(number).unlink(missing_ok=True)
        raise ModelError(
            f"{job.shard(number)}: made by another model, or on a machine of another number format, than the"
            " shards before it; use the same files and like machines, or name another folder with --out"
        )


@contextmanager
def exclusive_run(folder: Path) -> Iterator[None]:
    """Keep other runs from the folder meanwhile; they would do the same work once more.

    Raises:
        ShowtellError: there is another run.
        UsageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0.1)
    except Timeout as error:
        raise ShowtellError(f"{folder}: another run is writing there; wait for it, or stop it") from error
    except OSError as error:
        raise UsageError(f"{folder}: it cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()
