"""The output folder of a job: settings, work units, finished shards.

job.json       the settings; a job of other settings is refused in this folder
units.jsonl    the work units, as the images were listed when the job began
*-00000.*      a shard for each unit, by its number
failed.jsonl   images that could not be decoded, written when all units are done
checksums.jsonl  a line for each shard (see `checksums.py`)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from showtell.errors import DataError, ModelError, UsageError
from showtell.scale.checksums import FILE_NAME as CHECKSUMS
from showtell.scale.locks import job_files_lock
from showtell.scale.parts import WHOLE, Part
from showtell.scale.units import Unit, unit_from_json, unit_to_json
from showtell.utils.files import read_json
from showtell.utils.storage import is_remote, names_in, read_bytes, write_whole

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
        part: the units that this run does.
    """

    folder: Path
    shards: str
    units: tuple[Unit, ...]
    part: Part = WHOLE

    @property
    def numbers(self) -> range:
        """Numbers of the units of this run."""
        return self.part.numbers(len(self.units))

    def shard(self, number: int) -> Path:
        """The shard of a unit."""
        return self.folder / self.shards.format(f"{number:05}")

    def missing(self) -> list[int]:
        """Numbers of the units of this run whose shard is not there."""
        there = names_in(self.folder)
        return [number for number in self.numbers if self.shard(number).name not in there]

    def images(self, numbers: Iterable[int]) -> int:
        """Number of images of some units."""
        return sum(len(self.units[number]) for number in numbers)


def open_job(
    folder: Path,
    shards: str,
    settings: Mapping[str, Any],
    list_units: Callable[[], Iterable[Unit]],
    part: Part = WHOLE,
) -> Job:
    """Begin a job in a folder, or continue the one that is there.

    Args:
        folder: created if it is missing.
        shards: file name of a shard (see `Job`).
        settings: all that decides what the shards hold; plain values.
        list_units: lists the images, when the job begins.
        part: the units to do. Whichever part begins lists the images for all; a job of parts is never
            begun anew.

    Raises:
        UsageError: the folder holds a job of other settings, or other files; or it cannot be written.
        DataError: a source cannot be read, or the folder's files are damaged.
    """
    settings = json.loads(json.dumps({"version": FORMAT_VERSION, "shards": shards, **settings}))
    try:
        if not is_remote(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with job_files_lock(folder):
            if not _has_shards(folder, part):
                # The list first: where the settings are, it is complete.
                write_whole(folder / UNITS, "".join(map(unit_to_json, list_units())))
                write_whole(folder / FILE_NAME, json.dumps(settings, indent=1) + "\n")
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
    return replace(read_job(folder), part=part)


def _has_shards(folder: Path, part: Part) -> bool:
    """Whether work of a job is done, or other parts are at work; a job without may as well begin anew."""
    names = names_in(folder)
    others = [n for n in names - {FILE_NAME, UNITS, FAILED, CHECKSUMS} if not n.startswith(".")]
    if others and FILE_NAME not in names:
        raise UsageError(f"{folder}: holds other files ({min(others)}); name an empty folder with --out")
    return bool(others) or (part != WHOLE and FILE_NAME in names)


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of the job in a folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        settings = _read_json(folder / FILE_NAME)
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
        lines = read_bytes(folder / UNITS).decode().split("\n")
        return Job(folder, shards, tuple(unit_from_json(line) for line in lines if line))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / UNITS}: damaged ({error}); delete the folder and run again") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not is_remote(path):
        return read_json(path)
    values = json.loads(read_bytes(path))
    if not isinstance(values, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what the file holds
    return values


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
        write_whole(job.folder / FILE_NAME, text + "\n")
    elif known != producer:
        job.shard(number).unlink(missing_ok=True)
        raise ModelError(
            f"{job.shard(number)}: made by another model, or on a machine of another number format, than the"
            " shards before it; use the same files and like machines, or name another folder with --out"
        )
