"""Workers: in this process one after the other, or as actors of Ray Data, on this machine or a cluster."""

from __future__ import annotations

import logging
import math
import os
import pickle
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from showtell.errors import ShowtellError, UsageError
from showtell.scale.checksums import Checksum
from showtell.scale.tasks import Task
from showtell.scale.units import Unit
from showtell.utils.storage import is_remote

ATTEMPTS: Final = 5
"""Times that a unit is begun in a run. Ray tries without end if workers die, and a unit that kills every
worker must come to an end."""
ATTEMPT: Final = ".attempt-"
"""Begins the names of files that count attempts."""


@dataclass(frozen=True)
class Assignment:
    """A unit to process, and where its shard goes."""

    number: int
    unit: Unit
    shard: Path


@dataclass(frozen=True)
class UnitResult:
    """The result of a unit.

    Attributes:
        number: of the unit.
        producer: see `Task.producer`.
        checksum: of its shard.
        seconds: time it took, without loading the model.
    """

    number: int
    producer: str
    checksum: Checksum
    seconds: float


def process_unit(task: Task, assignment: Assignment) -> UnitResult:
    """Process a unit: the whole of what a worker does, wherever it runs."""
    producer = task.producer
    start = time.monotonic()
    checksum = task.run(assignment.unit, assignment.shard)
    return UnitResult(assignment.number, producer, checksum, time.monotonic() - start)


def run_locally(task: Task, assignments: Iterable[Assignment]) -> Generator[UnitResult, None, None]:
    """Process units in this process, without Ray."""
    for assignment in assignments:
        yield process_unit(task, assignment)


class RayWorker:
    """An actor of Ray Data; it holds its model from the first unit on.

    Args:
        task: what to make of units, pickled.
        folder: what relative names are relative to.
    """

    def __init__(self, task: bytes, folder: str) -> None:
        self.task: Task = pickle.loads(task)
        self.folder = folder

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Process a unit: the result, or what went wrong, goes to the driver."""
        try:
            return {"done": pickle.dumps(self._process(pickle.loads(row["assignment"])))}
        except ShowtellError as error:
            return {"done": pickle.dumps(error)}

    def _process(self, assignment: Assignment) -> UnitResult:
        try:
            os.chdir(self.folder)
            if not is_remote(assignment.shard):
                assignment.shard.parent.stat()
        except OSError as error:
            raise UsageError(
                f"{error.filename}: a worker's machine has no such folder; run the command in a folder, and"
                " write to one, that all machines of the cluster share"
            ) from error
        with _counted(assignment.shard):
            return process_unit(self.task, assignment)


@contextmanager
def _counted(shard: Path) -> Iterator[None]:
    """Count the attempts at a shard, in a file that stays if the process dies.

    Raises:
        ShowtellError: there have been too many.
    """
    count = shard.with_name(f"{ATTEMPT}{shard.name}")
    attempts = count.read_bytes() if count.exists() else b""
    if len(attempts) >= ATTEMPTS:
        raise ShowtellError(
            f"{shard}: {ATTEMPTS} workers have died of it; give each more memory (fewer --workers), or"
            " look for the photo that kills them (its unit is in units.jsonl)"
        )
    count.write_bytes(attempts + b".")
    try:
        yield
    finally:
        count.unlink(missing_ok=True)


def run_on_ray(
    task: Task,
    assignments: Sequence[Assignment],
    workers: int,
    address: str | None,
    *,
    gpus: bool = True,
) -> Generator[UnitResult, None, None]:
    """Do units by actors of Ray Data. A worker that dies is started again, and its units are done again.

    Args:
        task: what to make of units.
        assignments: they go out in this order, and come back as they are done.
        workers: number of actors; each loads the model.
        address: of a cluster: `auto`, or `host:port`; None starts one on this machine, for this job.
        gpus: let workers have the cluster's GPUs, if there are any.

    Raises:
        UsageError: Ray is not installed, the cluster is not there, or has too few cores.
        ShowtellError: a worker failed, or a unit's worker died again and again.
    """
    for assignment in assignments:
        assignment.shard.with_name(f"{ATTEMPT}{assignment.shard.name}").unlink(missing_ok=True)
    with _cluster(address) as ray:
        strategy = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2)
        items = [{"assignment": pickle.dumps(assignment)} for assignment in assignments]
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map(
            RayWorker,
            fn_constructor_args=(pickle.dumps(task), str(Path.cwd())),
            compute=strategy,
            **resources_per_worker(
                [node["Resources"] for node in ray.nodes() if node["Alive"]], workers, gpus=gpus
            ),
        )
        try:
            for row in dataset.iter_rows():
                done = pickle.loads(row["done"])
                if isinstance(done, ShowtellError):
                    raise done
                yield done
        except ray.exceptions.RayError as error:
            raise ShowtellError(
                f"a worker failed ({type(error).__name__}); see why with --debug. What is done is kept;"
                " run the same command again to continue"
            ) from error


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster; a local one is stopped at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it would tell of each worker that died
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--workers needs {error.name}: install it with pip install 'showtell[scale]'"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        with _stderr_to(os.devnull):  # the library tells that its log level has been set
            ray.init(
                address or "local",
                logging_level=logging.CRITICAL,
                log_to_driver=False,
                include_dashboard=None if address else False,
            )
    except ConnectionError as error:
        raise UsageError(f"--address {address}: no Ray cluster there ({error})") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _stderr_to(path: str) -> Iterator[None]:
    """Send what libraries write to standard error elsewhere."""
    kept, other = os.dup(2), os.open(path, os.O_WRONLY)
    os.dup2(other, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(other)


def resources_per_worker(
    machines: Sequence[Mapping[str, float]], workers: int, *, gpus: bool = True
) -> dict[str, float]:
    """The CPUs, GPUs and memory of each of several equal workers on a cluster's machines.

    Args:
        machines: `CPU` and `GPU` of each: numbers of cores and GPUs.
        workers: their number.
        gpus: let them have GPUs.

    Returns:
        `num_gpus`, if there are any. Else `num_cpus`: cores, as many as all workers can have at once;
        these are also its threads.

    Raises:
        UsageError: there are fewer cores than workers.
    """
    count = sum(machine.get("GPU", 0) for machine in machines)
    if gpus and count:  # Ray Data advises against asking for both
        return {"num_gpus": 1 / math.ceil(workers / count)}
    cores = [int(machine.get("CPU", 0)) for machine in machines]
    fitting = [
        each for each in range(1, max(cores, default=0) + 1) if sum(n // each for n in cores) >= workers
    ]
    if not fitting:
        raise UsageError(f"--workers {workers}: the cluster has {sum(cores)} cores; each worker needs one")
    return {"num_cpus": fitting[-1]}
