"""What the machine computes on, with fakes for the hardware that is not there."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from showtell import devices
from showtell.devices import compute_dtype, log_gpu_memory, pick_device

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What a test made the module remember is forgotten."""
    for remembered in (devices._multiplies_bf16, devices._say_no_gpu):
        remembered.cache_clear()
    yield
    for remembered in (devices._multiplies_bf16, devices._say_no_gpu):
        remembered.cache_clear()


def fake_cpu(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize("device", [CPU, GPU])
def test_named_precisions_need_no_hardware(device: torch.device) -> None:
    assert compute_dtype("fp32", device) == torch.float32
    assert compute_dtype("bf16", device) == torch.bfloat16


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_auto_on_a_cpu_that_multiplies_bf16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cpu(monkeypatch, avx2=True, **{name: True})
    assert compute_dtype("auto", CPU) == torch.bfloat16


def test_auto_on_another_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cpu(monkeypatch, avx2=True, avx512_f=True, avx512_bf16=False)
    assert compute_dtype("auto", CPU) == torch.float32


def test_auto_where_torch_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert compute_dtype("auto", CPU) == torch.float32


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_on_a_gpu(supported: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return True if including_emulation else supported  # any GPU emulates it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert compute_dtype("auto", GPU) == dtype


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_device(available: bool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert pick_device().type == kind


def test_gpu_memory_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    asked = []
    for name, mebibytes in (
        ("memory_allocated", 11),
        ("max_memory_allocated", 222),
        ("memory_reserved", 3333),
    ):

        def read(device: torch.device, value: int = mebibytes) -> int:
            asked.append(device)
            return value * 2**20

        monkeypatch.setattr(torch.cuda, name, read)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with caplog.at_level(logging.INFO, "showtell"):
        log_gpu_memory("after epoch 3")
        log_gpu_memory("after epoch 4", GPU)
    assert caplog.messages == [
        f"GPU memory after epoch {i}: 11 MiB in use, 222 at its peak, 3333 reserved" for i in (3, 4)
    ]
    assert asked == 3 * [torch.device("cuda")] + 3 * [GPU]


def test_no_gpu_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO, "showtell"):
        log_gpu_memory("at the start")
        log_gpu_memory("after epoch 1")
        log_gpu_memory("after epoch 2", CPU)
    assert len(caplog.messages) == 1
    assert "No GPU" in caplog.text
