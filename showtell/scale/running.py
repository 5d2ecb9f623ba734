"""A job from where it is to its end: the missing units go to workers, then all shards are summed up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from showtell.errors import DataError
from showtell.files import write_atomic
from showtell.output.writer import telling
from showtell.scale.job import FAILED, Job, check_maker
from showtell.scale.tasks import Failures, Task
from showtell.scale.workers import Assignment, run_here, run_on_ray

_NAMED: Final = 3
"""Failed pictures that a summary names."""


@dataclass(frozen=True)
class Summary:
    """What a job has come to.

    Attributes:
        pictures: in all shards, with those that failed.
        failed: pictures that could not be shown.
        now: pictures that this run did.
        seconds: time that this run took, with starting the workers and loading the model.
        workers: actors of Ray Data; 0: this process did the work.
    """

    pictures: int
    failed: Failures
    now: int
    seconds: float
    workers: int

    def __str__(self) -> str:
        text = f"{self.pictures:,} pictures"
        if self.failed:
            more = len(self.failed) - _NAMED
            names = ", ".join(list(self.failed)[:_NAMED]) + f" and {more:,} more" * (more > 0)
            text += f", {len(self.failed):,} of them failed ({names})"
        if self.now < self.pictures:
            text += f"; {self.pictures - self.now:,} were there already"
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
    """Do all units whose shard is missing, and write the list of failed pictures.

    Args:
        job: the job.
        task: what to make of units.
        workers: actors of Ray Data; 0: this process does the work, without Ray.
        address: of a Ray cluster; None starts one on this machine, for this job.
        gpus: let workers have the cluster's GPUs.
        progress: called with the number of pictures just done.

    Raises:
        DataError: a shard does not hold what it should.
        UsageError: Ray is not installed, or cannot give so many workers.
        ShowtellError: a worker failed. Shards that are done stay; the next run goes on from there.
    """
    start = time.monotonic()
    missing = job.missing()
    assignments = [Assignment(number, job.units[number], job.shard(number)) for number in missing]
    if workers and assignments:
        stream = run_on_ray(task, assignments, workers, address, gpus=gpus)
    else:
        stream = run_here(task, assignments)
    with closing(stream):
        for done in stream:
            check_maker(job, done.number, done.made_by)
            progress(len(job.units[done.number]))
    pictures, failed = _sum_up(job, task)
    return Summary(pictures, failed, job.pictures(missing), time.monotonic() - start, workers)


def _sum_up(job: Job, task: Task) -> tuple[int, Failures]:
    """Count the pictures of all shards, and list those that failed."""
    pictures, failed = 0, Failures()
    for number in range(len(job.units)):
        count, failures = task.outcome(job.shard(number))
        if count != len(job.units[number]):
            raise DataError(
                f"{job.shard(number)}: holds {count} pictures instead of {len(job.units[number])}; delete it"
                " and run the same command again"
            )
        pictures += count
        failed |= failures
    lines = (json.dumps({"image": name, "error": error}) + "\n" for name, error in failed.items())
    with telling(job.folder / FAILED):
        write_atomic(job.folder / FAILED, "".join(lines))
        for left in job.folder.glob(".*.tmp"):  # by workers that were killed
            left.unlink(missing_ok=True)
    return pictures, failed
