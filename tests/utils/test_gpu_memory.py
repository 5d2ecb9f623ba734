"""GPU memory by stage, on a fake GPU whose allocations are known."""

from __future__ import annotations

import logging

import pytest
import torch

from showtell.utils.gpu_memory import MIB, CudaGpu, MemoryByStage, Reading, find_gpu


class FakeGpu:
    """A GPU with a caching allocator: what is freed stays reserved."""

    def __init__(self) -> None:
        self.held = self.most = self.taken = self.most_taken = 0

    def allocate(self, mebibytes: int) -> None:
        self.held += mebibytes * MIB
        self.most = max(self.most, self.held)
        self.taken = max(self.taken, self.held)
        self.most_taken = max(self.most_taken, self.taken)

    def free(self, mebibytes: int) -> None:
        self.held -= mebibytes * MIB

    def in_use(self) -> int:
        return self.held

    def peak(self) -> int:
        return self.most

    def reserved(self) -> int:
        return self.most_taken

    def forget_peak(self) -> None:
        self.most, self.most_taken = self.held, self.taken


def mebibytes(reading: Reading) -> tuple[int, int, int]:
    return reading.in_use // MIB, reading.peak // MIB, reading.reserved // MIB


def test_each_stage_has_a_peak_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    gpu = FakeGpu()
    memory = MemoryByStage(gpu)
    with caplog.at_level(logging.INFO, "showtell"), memory.stage("features"):
        gpu.allocate(500)
        gpu.free(400)
    assert caplog.messages == ["GPU memory, features: 100 MiB in use, 500 at its peak, 500 reserved"]
    for activations in (200, 1200, 300):
        memory.begin()
        gpu.allocate(activations)
        gpu.free(activations)
        memory.end("training")
    assert mebibytes(memory.stages["features"]) == (100, 500, 500)
    assert mebibytes(memory.stages["training"]) == (100, 1300, 1300)
    assert memory.summary().splitlines() == [
        "GPU memory by stage:",
        "  features  100 MiB in use, 500 at its peak, 500 reserved",
        "  training  100 MiB in use, 1,300 at its peak, 1,300 reserved",
    ]


def test_without_a_gpu_nothing_is_read_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    memory = MemoryByStage(None)
    with caplog.at_level(logging.INFO, "showtell"), memory.stage("features"):
        pass
    assert memory.end("training") is None
    assert (memory.stages, memory.summary(), caplog.messages) == ({}, "", [])


def test_the_counters_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    device, calls = torch.device("cuda", 3), []
    names = ("memory_allocated", "max_memory_allocated", "max_memory_reserved", "reset_peak_memory_stats")
    for value, name in enumerate(names):

        def read(of: torch.device, name: str = name, value: int = value) -> int:
            calls.append((name, of))
            return value

        monkeypatch.setattr(torch.cuda, name, read)
    gpu = CudaGpu(device)
    assert (gpu.in_use(), gpu.peak(), gpu.reserved()) == (0, 1, 2)
    gpu.forget_peak()
    assert calls == [(name, device) for name in names]


def test_a_gpu_is_found_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_gpu() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert isinstance(find_gpu(), CudaGpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu() -> None:
    memory = MemoryByStage(find_gpu())
    with memory.stage("a tensor"):
        held = torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")
        del held
    assert memory.stages["a tensor"].peak >= 64 * MIB
