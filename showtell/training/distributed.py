"""Distributed training: launching processes, and collective operations.

Every rank holds the whole decoder and trains on its part of each batch (`torch.distributed`, launched by
Lightning Fabric, torchrun or SLURM). In a single process the collectives return immediately.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from showtell.config import TrainerConfig
from showtell.errors import UsageError
from showtell.utils.devices import pick_device

T = TypeVar("T")

PROCESS_GROUP_TIMEOUT = timedelta(days=1)
"""How long a rank waits in a collective: another may be extracting features for hours. If a rank dies, the
others end sooner: torchrun, SLURM or the launcher ends them, and they end with the launcher."""
_LAUNCHER = "SHOWTELL_LAUNCHER"
"""Environment variable with the id of the process that launches others."""
_PARENT_SECONDS = 1.0
"""Time between two looks for that process."""


@dataclass(frozen=True)
class WorldInfo:
    """Rank and world size of this process.

    Attributes:
        rank: rank 0 writes files and logs.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether the rank is 0."""
        return self.rank == 0


def world() -> WorldInfo:
    """Rank and world size of this process; 0 and 1 without a process group."""
    if dist.is_available() and dist.is_initialized():
        return WorldInfo(dist.get_rank(), dist.get_world_size())
    return WorldInfo()


def devices_and_nodes(config: TrainerConfig) -> tuple[int, int]:
    """Number of devices per machine and of machines: as set, else those of torchrun or `srun`, else one."""
    environ = os.environ
    devices = nodes = 1
    if "TORCHELASTIC_RUN_ID" in environ:
        devices = int(environ["LOCAL_WORLD_SIZE"])
        nodes = int(environ["WORLD_SIZE"]) // devices
    elif {"SLURM_STEP_ID", "SLURM_NTASKS", "SLURM_NNODES"} <= environ.keys():
        nodes = int(environ["SLURM_NNODES"])
        devices = int(environ["SLURM_NTASKS"]) // nodes
    return (
        devices if config.devices == "auto" else config.devices,
        nodes if config.num_nodes == "auto" else config.num_nodes,
    )


def accelerator_of(device: torch.device) -> str:
    """The name of a kind of device in Lightning."""
    return {"cuda": "gpu", "mps": "mps"}.get(device.type, "cpu")


def start_processes(config: TrainerConfig) -> WorldInfo:
    """Launch the processes of `config`, or join those of torchrun or SLURM; every process returns from here.

    Without torchrun or SLURM, this process launches the others of its machine by running its command again.

    Raises:
        UsageError: there are fewer GPUs, or the device is a single one.
    """
    devices, nodes = devices_and_nodes(config)
    device = pick_device()
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise UsageError(
            f"--trainer.devices {devices}: this machine has {torch.cuda.device_count()} GPUs; ask for as many"
        )
    if devices * nodes > 1 and (device.index is not None or device.type == "mps"):
        raise UsageError(
            f"--device {device} is one GPU, and {devices * nodes} processes are to train together: take"
            " --device cuda (or cpu), or one process (--trainer.devices 1)"
        )
    if devices * nodes > 1 and not dist.is_initialized():
        _launch(device, devices, nodes)
    return world()


def _launch(device: torch.device, devices: int, nodes: int) -> None:
    """Launch processes by Lightning Fabric, without its advice on loaders."""
    if os.environ.get(_LAUNCHER) == str(os.getppid()):
        exit_with_parent()
    os.environ[_LAUNCHER] = str(os.getpid())
    from lightning_fabric import Fabric  # takes a second
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning_fabric")
        Fabric(
            accelerator=accelerator_of(device),
            devices=devices,
            num_nodes=nodes,
            strategy=DDPStrategy(timeout=PROCESS_GROUP_TIMEOUT),
        ).launch()


def exit_with_parent() -> None:
    """Exit when the process that launched this one has died, which a collective of NCCL may not notice."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def all_reduce_sum(*values: float) -> list[float]:
    """The sums of values over all processes."""
    if world().world_size == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=pick_device())
    dist.all_reduce(sums)
    values_summed: list[float] = sums.tolist()
    return values_summed


def ddp_loss_scale(items: float) -> float:
    """Factor that turns this rank's mean loss into its part of the global mean after DDP averages gradients.

    Gradients are averaged over the processes; with this factor that is the mean over all items.
    """
    (everything,) = all_reduce_sum(items)
    return items * world().world_size / everything if everything else 0.0


@dataclass
class MeanLoss:
    """Running mean over words, kept on the device of the losses: only reading it synchronises with a GPU."""

    total: float | Tensor = 0.0
    words: float = 0.0

    def add(self, loss: float | Tensor, words: float) -> None:
        """Add the mean loss (a number or a scalar tensor) of some words (or the sum of their weights)."""
        if isinstance(loss, Tensor):
            loss = loss.detach().double() if loss.device.type != "mps" else loss.detach()
        self.total = self.total + loss * words
        self.words += words

    def sums(self) -> tuple[float, float]:
        """Summed loss and words of all ranks; collective: every rank must call it."""
        loss, words = all_reduce_sum(float(self.total), self.words)
        return loss, words

    def mean(self) -> float:
        """Mean over the words of all ranks (NaN without any); collective: every rank must call it."""
        loss, words = self.sums()
        return loss / words if words else math.nan


def all_gather_object(item: T) -> list[T]:
    """The items of all ranks, in their order."""
    count = world().world_size
    if count == 1:
        return [item]
    items: list[Any] = [None] * count
    dist.all_gather_object(items, item)
    return items


def broadcast_object(item: T) -> T:
    """The item of rank 0, on all ranks."""
    if world().world_size == 1:
        return item
    holder: list[Any] = [item]
    dist.broadcast_object_list(holder, src=0)
    first: T = holder[0]
    return first


def barrier() -> None:
    """Wait until all ranks have reached this point."""
    all_gather_object(None)


class RankZeroFailedError(Exception):
    """Raised on the other ranks if rank 0 failed; rank 0 reports the cause."""


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Run the block on rank 0 first, then on all other ranks, which can reuse its cached results.

    Raises:
        RankZeroFailedError: rank 0 did not reach the end of the block.
    """
    if not world().is_rank_zero and not broadcast_object(False):
        raise RankZeroFailedError
    done = False
    try:
        yield
        done = True
    finally:
        if world().is_rank_zero:
            broadcast_object(done)


def interleave_shards(parts: Sequence[Sequence[T]]) -> list[T]:
    """Undo sharding: merge the lists of N ranks, where item i is on rank i % N."""
    longest = max(map(len, parts), default=0)
    return [part[position] for position in range(longest) for part in parts if position < len(part)]
