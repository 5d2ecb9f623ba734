"""What the machine computes on, and in which number format."""

from __future__ import annotations

import logging
from functools import cache

import torch

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
