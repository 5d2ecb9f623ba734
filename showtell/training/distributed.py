"""Several processes that train together: how they start, and what they tell each other.

Each holds the whole decoder and works on its share of every batch (`torch.distributed`, started by Lightning
Fabric, by torchrun or by SLURM). Without others, everything here answers at once.
"""

from __future__ import annotations

import logging
import math
import os
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
"""How long a process waits for the others: one may be extracting features for hours. One that dies is seen at
once: its connection closes, and whoever started it ends the others."""


@dataclass(frozen=True)
class WorldInfo:
    """This process among those that train together.

    Attributes:
        rank: its number; process 0 writes the files and talks to the user.
        world_size: how many there are.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether it is process 0."""
        return self.rank == 0


def world() -> WorldInfo:
    """This process among those that train together."""
    if dist.is_available() and dist.is_initialized():
        return WorldInfo(dist.get_rank(), dist.get_world_size())
    return WorldInfo()


def devices_and_nodes(config: TrainerConfig) -> tuple[int, int]:
    """Devices of a machine, and machines: as set, else as torchrun or `srun` has started us, else one."""
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
    """Lightning's name of a kind of device."""
    return {"cuda": "gpu", "mps": "mps"}.get(device.type, "cpu")


def start_processes(config: TrainerConfig) -> WorldInfo:
    """Start the processes that are asked for, or join them; each goes on from here.

    Without torchrun or SLURM, this process starts the others of its machine by running its own command again.

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
    """Launch by Lightning Fabric, without its advice on loaders."""
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
    """A mean over words, summed where the losses are: reading it waits for a GPU, adding to it does not."""

    total: float | Tensor = 0.0
    words: float = 0.0

    def add(self, loss: float | Tensor, words: float) -> None:
        """Add the mean loss (a number or a scalar tensor) of some words (or the sum of their weights)."""
        if isinstance(loss, Tensor):
            loss = loss.detach().double() if loss.device.type != "mps" else loss.detach()
        self.total = self.total + loss * words
        self.words += words

    def sums(self) -> tuple[float, float]:
        """Loss and words of all processes; each has to ask."""
        loss, words = all_reduce_sum(float(self.total), self.words)
        return loss, words

    def mean(self) -> float:
        """Over the words of all processes, each of which has to ask; NaN before the first word."""
        loss, words = self.sums()
        return loss / words if words else math.nan


def all_gather_object(item: T) -> list[T]:
    """The items of all processes, in the order of their ranks."""
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
    """Go on when all processes are here."""
    all_gather_object(None)


class RankZeroFailedError(Exception):
    """Process 0 has failed, and tells the user why."""


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Process 0 runs the block alone; then the others run it, and find done what it has done.

    Raises:
        RankZeroFailedError: process 0 did not come to the block's end.
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
    """A list that was dealt out (item i went to process i % N), put together again."""
    longest = max(map(len, parts), default=0)
    return [part[place] for place in range(longest) for part in parts if place < len(part)]
