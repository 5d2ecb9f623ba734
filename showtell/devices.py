"""What the machine computes on, and in which number format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from showtell.config import Precision

log = logging.getLogger(__name__)


def pick_device() -> torch.device:
    """The first GPU (CUDA), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format to compute in; `auto` takes bfloat16 where the hardware multiplies it."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    return torch.bfloat16 if _multiplies_bf16(device.type) else torch.float32


@cache
def _multiplies_bf16(device_type: str) -> bool:
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2026
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def log_gpu_memory(stage: str, device: torch.device | None = None) -> None:
    """Log the GPU memory in use, at its peak, and reserved, in MiB; say once that there is no GPU.

    Args:
        stage: what has just been done, for the log line.
        device: the GPU; by default `pick_device()`.
    """
    device = device or pick_device()
    if device.type != "cuda":
        _say_no_gpu()
        return
    used, peak, reserved = (
        read(device) / 2**20
        for read in (
            torch.cuda.memory_allocated,
            torch.cuda.max_memory_allocated,
            torch.cuda.memory_reserved,
        )
    )
    log.info("GPU memory %s: %.0f MiB in use, %.0f at its peak, %.0f reserved", stage, used, peak, reserved)


@cache
def _say_no_gpu() -> None:
    log.info("No GPU found: running on the CPU, no GPU memory to log")


def encoder_batch_size(device: torch.device) -> int:
    """Images that an encoder takes together: 16 on a CPU, and more on a GPU, by its memory.

    On a CPU more images do not fit its caches. A GPU needs many, or it waits for the next call.
    """
    if device.type == "cpu":
        return 16
    if device.type != "cuda":
        return 64
    gigabytes = torch.cuda.get_device_properties(device).total_memory / 2**30
    return 256 if gigabytes > 12 else 64


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to `device`; to a GPU from pinned memory, without waiting for the GPU."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def stack_to_device(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> Tensor:
    """Stack N arrays of one shape (...) to a tensor (N, ...) on `device`; to a GPU from pinned memory."""
    if device.type != "cuda":
        return torch.from_numpy(np.stack(arrays)).to(device)
    first = torch.from_numpy(arrays[0])
    stacked = torch.empty((len(arrays), *first.shape), dtype=first.dtype, pin_memory=True)
    np.stack(arrays, out=stacked.numpy())
    return stacked.to(device, non_blocking=True)


class CopyToCPU:
    """A tensor on its way to the CPU: a GPU goes on with what it is given next while it is copied."""

    def __init__(self, tensor: Tensor) -> None:
        self._copied = torch.cuda.Event() if tensor.is_cuda else None
        self._tensor = tensor.to("cpu", non_blocking=tensor.is_cuda)
        if self._copied is not None:
            self._copied.record()

    def wait(self) -> Tensor:
        """The copy, complete."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor
