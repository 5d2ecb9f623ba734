"""GPU memory by stage of a run: in use, at its peak, and reserved."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from showtell.utils.devices import pick_device

log = logging.getLogger(__name__)

MIB = 2**20


class Gpu(Protocol):
    """A device with memory counters, in bytes."""

    def in_use(self) -> int:
        """Held by tensors now."""

    def peak(self) -> int:
        """Held by tensors at most since `forget_peak`."""

    def reserved(self) -> int:
        """Taken from the device at most since `forget_peak`: tensors, and what is kept for the next ones."""

    def forget_peak(self) -> None:
        """Count the peaks from now on."""


class CudaGpu:
    """A GPU, by the counters of PyTorch's allocator.

    Args:
        device: of type `cuda`.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def in_use(self) -> int:
        """Held by tensors now."""
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        """Held by tensors at most since `forget_peak`."""
        return torch.cuda.max_memory_allocated(self.device)

    def reserved(self) -> int:
        """Taken from the device at most since `forget_peak`."""
        return torch.cuda.max_memory_reserved(self.device)

    def forget_peak(self) -> None:
        """Count the peaks from now on."""
        torch.cuda.reset_peak_memory_stats(self.device)


def find_gpu() -> Gpu | None:
    """The GPU that is computed on, or None."""
    device = pick_device()
    return CudaGpu(device) if device.type == "cuda" else None


@dataclass(frozen=True)
class Reading:
    """GPU memory in a stage, in bytes.

    Attributes:
        in_use: at its end.
        peak: at most in it.
        reserved: taken from the device at most.
    """

    in_use: int
    peak: int
    reserved: int


class MemoryByStage:
    """GPU memory used by the stages of a run; a repeated stage counts by its largest peak.

    Args:
        gpu: whose memory; None if there is none: then nothing is read.
    """

    def __init__(self, gpu: Gpu | None) -> None:
        self.gpu = gpu
        self.stages: dict[str, Reading] = {}

    def begin(self) -> None:
        """A stage begins."""
        if self.gpu is not None:
            self.gpu.forget_peak()

    def end(self, stage: str) -> Reading | None:
        """It ends; returns what it took."""
        if self.gpu is None:
            return None
        reading = Reading(self.gpu.in_use(), self.gpu.peak(), self.gpu.reserved())
        before = self.stages.get(stage, reading)
        self.stages[stage] = Reading(
            reading.in_use, max(before.peak, reading.peak), max(before.reserved, reading.reserved)
        )
        return reading

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A block is a stage; what it took is logged."""
        self.begin()
        yield
        reading = self.end(name)
        if reading is not None:
            log.info("GPU memory, %s: %s", name, _line(reading))

    def summary(self) -> str:
        """A line a stage; empty without a GPU."""
        if not self.stages:
            return ""
        width = max(map(len, self.stages))
        lines = [f"  {name:<{width}}  {_line(reading)}" for name, reading in self.stages.items()]
        return "\n".join(["GPU memory by stage:", *lines])


def _line(reading: Reading) -> str:
    in_use, peak, reserved = (n / MIB for n in (reading.in_use, reading.peak, reading.reserved))
    return f"{in_use:,.0f} MiB in use, {peak:,.0f} at its peak, {reserved:,.0f} reserved"
