"""What the machine computes on, with fakes for the hardware that is not there."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from showtell.config import DEVICE_VARIABLE
from showtell.errors import UsageError
from showtell.utils import devices
from showtell.utils.devices import compute_dtype, log_gpu_memory, pick_device

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No device is chosen, and what a test made the module remember is forgotten."""
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    for remembered in (devices._multiplies_bf16, devices._log_no_gpu_memory):
        remembered.cache_clear()
    yield
    for remembered in (devices._multiplies_bf16, devices._log_no_gpu_memory):
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


def fake_machine(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, mps: bool = False) -> list[torch.device]:
    """Pretend to have devices; returns those that become CUDA's current one."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    return current


@pytest.mark.parametrize(
    ("gpus", "mps", "kind"), [(2, False, "cuda"), (1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
@pytest.mark.parametrize("name", [None, "auto"])
def test_auto_takes_the_fastest(
    gpus: int, mps: bool, kind: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = fake_machine(monkeypatch, gpus=gpus, mps=mps)
    assert pick_device(name) == torch.device(kind)
    assert current == []


@pytest.mark.parametrize("name", [None, "auto"])
def test_the_variable_is_the_choice_of_the_process(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    current = fake_machine(monkeypatch, gpus=2)
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert pick_device(name) == CPU
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:1")
    assert pick_device(name) == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)]


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_named_device_goes_before_the_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    current = fake_machine(monkeypatch, gpus=2, mps=True)
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:1")
    assert pick_device(name) == torch.device(name)
    assert pick_device(torch.device(name)) == torch.device(name)
    assert current == []  # one model there does not move what else the process does


@pytest.mark.parametrize(
    ("name", "gpus", "mps", "present"),
    [
        ("cuda", 0, True, "mps and cpu"),
        ("cuda:2", 2, False, "cuda:0 and cuda:1 and cpu"),
        ("mps", 0, False, "cpu"),
        ("gpu", 0, False, "cpu"),
        ("cuda:x", 1, False, "cuda:0 and cpu"),
    ],
)
@pytest.mark.parametrize("by_variable", [True, False])
def test_a_device_that_is_not_there(
    name: str, gpus: int, mps: bool, present: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_machine(monkeypatch, gpus=gpus, mps=mps)
    if by_variable:
        monkeypatch.setenv(DEVICE_VARIABLE, name)
    with pytest.raises(UsageError, match=f"^device '{name}': this machine has {present}; .*--device or SHOW"):
        pick_device(None if by_variable else name)


@pytest.mark.parametrize(
    ("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("mps", 0), ("meta", 1)]
)
def test_a_device_of_torch_that_is_not_there(name: str, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_machine(monkeypatch, gpus=gpus)
    with pytest.raises(UsageError, match=f"^device '{name}': this machine has"):
        pick_device(torch.device(name))


def test_a_device_of_torch_with_the_number_of_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_machine(monkeypatch, mps=True)
    for name in ("cpu:0", "mps:0"):
        assert pick_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize("error", [AssertionError, RuntimeError])
def test_warming_up_a_device_that_fails_is_quiet(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "zeros", fail)
    devices._compute_a_little(GPU)


def test_auto_precision_on_mps() -> None:
    assert compute_dtype("auto", torch.device("mps")) == torch.float32


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


def test_no_gpu_memory_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO, "showtell"):
        log_gpu_memory("at the start")
        log_gpu_memory("after epoch 1")
        log_gpu_memory("after epoch 2", CPU)
    assert len(caplog.messages) == 1
    assert "No GPU" in caplog.text
