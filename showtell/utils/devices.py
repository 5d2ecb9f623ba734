"""The device that models compute on, and the number format.

A process computes on one device. `pick_device()` returns it wherever it is needed: the one that the
environment variable `SHOWTELL_DEVICE` names, else the fastest. The commands' option `--device` sets this
variable, so that all processes which they start (spawned, DDP, Ray) compute on the same kind of device.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from showtell.config import DEVICE_VARIABLE, Precision
from showtell.errors import UsageError

log = logging.getLogger(__name__)


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device to compute on.

    Args:
        name: `cpu`, `cuda` (the current GPU: the first, or that of this process's rank), `cuda:1`, `mps`
            (Apple's GPU) or a `torch.device`. None or `auto`: what SHOWTELL_DEVICE names, else the first
            CUDA GPU, else MPS, else the CPU.

    Raises:
        UsageError: the device is unknown, or this machine does not have it.
    """
    if isinstance(name, torch.device):
        _require_device(str(name) if name.type == "cuda" else name.type)
        return name
    chosen = os.environ.get(DEVICE_VARIABLE, "auto") if name in (None, "auto") else name
    if chosen in ("", "auto"):
        return torch.device(_fastest())
    _require_device(chosen)
    device = torch.device(chosen)
    if name != chosen and device.index is not None:  # the choice of the process: streams are made there too
        torch.cuda.set_device(device)
    return device


def _require_device(name: str) -> None:
    present = available_devices()
    if name not in present and not (name == "cuda" and torch.cuda.is_available()):
        raise UsageError(
            f"device {name!r}: this machine has {' and '.join(present)}; name one of these with --device or"
            f" {DEVICE_VARIABLE}, or auto"
        )


def available_devices() -> list[str]:
    """The devices of this machine by name, fastest first."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*(f"cuda:{number}" for number in range(gpus)), *mps, "cpu"]


def _fastest() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format to compute in; `auto` takes bfloat16 if the hardware multiplies it."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    return torch.bfloat16 if _multiplies_bf16(device.type) else torch.float32


def autocast(precision: Precision) -> torch.autocast:
    """Compute in `compute_dtype` on this process's device in the block; weights stay in fp32."""
    device = pick_device()
    low = compute_dtype(precision, device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=low)


@cache
def _multiplies_bf16(device_type: str) -> bool:
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type != "cpu":  # MPS: not tried on such a machine
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2026
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def log_gpu_memory(stage: str, device: torch.device | None = None) -> None:
    """Log the GPU memory in use, at its peak, and reserved, in MiB; without a CUDA GPU say so once.

    Args:
        stage: what has just been done, for the log line.
        device: the GPU; by default `pick_device()`.
    """
    device = device or pick_device()
    if device.type != "cuda":
        _log_no_gpu_memory(device.type)
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
def _log_no_gpu_memory(device_type: str) -> None:
    log.info("No GPU memory to log: computing on %s", "the CPU" if device_type == "cpu" else device_type)


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


def warm_up(device: torch.device) -> None:
    """Have a GPU get ready in a thread, while the CPU reads weights: its libraries take seconds to load."""
    if device.type == "cuda" and not torch.cuda.is_initialized():
        threading.Thread(target=_compute_a_little, args=(device,), name="warm-up", daemon=True).start()


def _compute_a_little(device: torch.device) -> None:
    # Whoever needs the device will meet the error again; AssertionError: a torch without CUDA.
    with contextlib.suppress(RuntimeError, AssertionError):
        images = torch.zeros(1, 8, 8, 8, device=device, dtype=torch.bfloat16)
        weights = torch.zeros(8, 8, 3, 3, device=device, dtype=torch.bfloat16)
        torch.nn.functional.conv2d(images, weights, padding=1)
        torch.mm(images[0, 0], images[0, 0])
        torch.cuda.synchronize(device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to `device`; to a GPU from pinned memory, without waiting for the GPU."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def stack_to_device(arrays: Sequence[npt.NDArray[Any]], device: torch.device) -> Tensor:
    """Stack N arrays of one shape (...) to a tensor (N, ...) on `device`; to a GPU from pinned memory."""
    if device.type != "cuda":
        return torch.from_numpy(np.stack(arrays)).to(device)
    dtype = torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype
    stacked = torch.empty((len(arrays), *arrays[0].shape), dtype=dtype, pin_memory=True)
    np.stack(arrays, out=stacked.numpy())
    return stacked.to(device, non_blocking=True)


class CopyToCPU:
    """A tensor on its way to the CPU: the GPU continues with its next work while it is copied."""

    def __init__(self, tensor: Tensor) -> None:
        self._copied = torch.cuda.Event() if tensor.is_cuda else None
        self._tensor = tensor.to("cpu", non_blocking=tensor.is_cuda)
        if self._copied is not None:  # on the stream of the tensor's GPU, which need not be the thread's own
            self._copied.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> Tensor:
        """The copy, complete."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor
