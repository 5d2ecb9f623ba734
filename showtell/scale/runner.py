"""Run a job: workers process the missing units, then the results of all shards are collected."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from showtell.errors import DataError, ShowtellError
from showtell.output.summary import MAX_NAMED_FAILURES
from showtell.scale.checksums import Checksum, add_checksum, read_checksums
from showtell.scale.job import FAILED, Job, check_producer
from showtell.scale.locks import job_files_lock
from showtell.scale.parts import WHOLE
from showtell.scale.tasks import Failures, Task
from showtell.scale.workers import Assignment, run_locally, run_on_ray
from showtell.utils.files import remove_abandoned, reraise_os_error
from showtell.utils.storage import is_remote, write_whole

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """The result of a job.

    Attributes:
        images: in all shards, with those that failed.
        failed: images that could not be decoded.
        now: images that this run did.
        seconds: time that this run took, with starting the workers and loading the model.
        workers: actors of Ray Data; 0: this process did the work.
    """

    images: int
    failed: Failures
    now: int
    seconds: float
    workers: int

    def __str__(self) -> str:
        text = f"{self.images:,} photos"
        if self.failed:
            more = len(self.failed) - MAX_NAMED_FAILURES
            names = ", ".join(list(self.failed)[:MAX_NAMED_FAILURES]) + f" and {more:,} more" * (more > 0)
            text += f", {len(self.failed):,} of them failed ({names})"
        if self.now < self.images:
            text += f"; {self.images - self.now:,} were there already"
        text += f"; {self.now:,} in {self.seconds:.1f} s: {self.now / self.seconds:.1f} images/s"
        return text + f", {self.workers} workers" * (self.workers > 0)


def run_job(
    job: Job,
    task: Task,
    *,
    workers: int,
    address: str | None,
    gpus: bool = True,
    progress: Callable[[int], object],
) -> Summary:
    """Do all units of a job, or of its part, whose shard is missing; list the failed images at its end.

    Args:
        job: the job.
        task: what to make of units.
        workers: actors of Ray Data; 0: this process does the work, without Ray.
        address: of a Ray cluster; None starts one on this machine, for this job.
        gpus: let workers have the cluster's GPUs.
        progress: called with the number of images just done.

    Raises:
        DataError: a shard does not hold what it should.
        UsageError: Ray is not installed, or cannot give so many workers.
        ShowtellError: a worker failed. Finished shards are kept; the next run continues.
    """
    start = time.monotonic()
    missing = job.missing()
    assignments = [Assignment(number, job.units[number], job.shard(number)) for number in missing]
    if workers and assignments:
        stream = run_on_ray(task, assignments, workers, address, gpus=gpus)
    else:
        stream = run_locally(task, assignments)
    with closing(stream):
        for done in stream:
            with job_files_lock(job.folder):
                check_producer(job, done.number, done.producer)
                add_checksum(job.shard(done.number), done.checksum)
            progress(len(job.units[done.number]))
    images, failed = _sum_up(job, task)
    return Summary(images, failed, job.images(missing), time.monotonic() - start, workers)


def remove_damaged(job: Job, task: Task) -> list[int]:
    """Delete the shards that are not as they were written, so that `run_job` makes them again.

    Such are shards with another checksum than was noted, and of those without one (of an older version, or
    written just before a kill) the ones that do not hold the images of their unit.

    Returns:
        Numbers of their units. Each is named in a warning.

    Raises:
        WriteError: one cannot be deleted, or a checksum cannot be noted.
    """
    known, missing = read_checksums(job.folder), set(job.missing())
    removed = []
    for number in job.numbers:
        shard = job.shard(number)
        if number in missing:
            continue
        reason = _damage(job, task, number, known.get(shard.name))
        if reason is not None:
            log.warning("%s: damaged (%s); it is made again", shard, reason)
            with reraise_os_error(shard):
                shard.unlink()
            removed.append(number)
    return removed


def _damage(job: Job, task: Task, number: int, known: Checksum | None) -> str | None:
    """Why a shard is to be made again; None if it is as it was written."""
    shard = job.shard(number)
    try:
        present = None if is_remote(shard) else Checksum.of_file(shard)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    if known is not None:
        return None if present == known else "another checksum than when it was written"
    try:
        _check_names(job, number, task.outcome(shard)[0])
    except ShowtellError as error:
        return str(error).removeprefix(f"{shard}: ")
    if present is not None:
        with job_files_lock(job.folder):
            add_checksum(shard, present)
    return None


def _check_names(job: Job, number: int, names: list[str]) -> None:
    """See whether a shard holds the images of its unit.

    Raises:
        DataError: it does not.
    """
    unit, shard = job.units[number], job.shard(number)
    if len(names) != len(unit):
        raise DataError(
            f"{shard}: holds {len(names)} photos instead of {len(unit)}; run the same command again"
        )
    expected = unit.ids()
    if expected is not None and sorted(expected) != sorted(names):
        raise DataError(f"{shard}: holds other photos than its unit; run the same command again")


def _sum_up(job: Job, task: Task) -> tuple[int, Failures]:
    """Count the images of this run's shards; list those of the whole job that failed, if it is done."""
    if job.part != WHOLE and not (whole := replace(job, part=WHOLE)).missing():
        try:
            _sum_up(whole, task)
        except ShowtellError as error:  # not of this part
            log.warning("%s, without --part", str(error))
    images, failed = 0, Failures()
    for number in job.numbers:
        names, failures = task.outcome(job.shard(number))
        _check_names(job, number, names)
        images += len(names)
        failed |= failures
    if job.part != WHOLE:
        return images, failed
    lines = (json.dumps({"image": name, "error": error}) + "\n" for name, error in failed.items())
    write_whole(job.folder / FAILED, "".join(lines))
    if not is_remote(job.folder):
        remove_abandoned(job.folder)  # temporary files of workers that were killed
    return images, failed
