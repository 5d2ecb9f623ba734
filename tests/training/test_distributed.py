"""Processes that train together give what one process gives, with the same batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.config import DEVICE_VARIABLE, TrainerConfig
from showtell.errors import ConfigError, UsageError
from showtell.training.distributed import (
    accelerator_of,
    all_reduce_sum,
    broadcast_object,
    devices_and_nodes,
    interleave_shards,
    start_processes,
    world,
)
from tests.training.together import EPOCHS

ROOT = Path(__file__).resolve().parents[2]
PLAIN = [sys.executable, "-W", "ignore", "-m", "tests.training.together"]
TORCHRUN = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--nproc-per-node", "2"]
METRICS = ("train_loss", "reward", "divergence", "val_loss", "CIDEr", "BLEU-1", "words")


def run(*command: str) -> tuple[int, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "SHOWTELL_DEVICE": "cpu"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stderr


def train(folder: Path, *options: str, command: list[str] = PLAIN) -> dict[str, Any]:
    code, errors = run(*command, str(folder), *options)
    assert code == 0, errors
    answer: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return answer


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert len(ours["rows"]) == len(theirs["rows"]) >= 2 * EPOCHS
    for mine, other in zip(ours["rows"], theirs["rows"], strict=True):
        for name in METRICS:
            assert mine.get(name) == pytest.approx(other.get(name), abs=1e-4), name
        assert mine["saved"] == other["saved"]
    for name, weights in ours["weights"].items():
        assert weights == pytest.approx(theirs["weights"][name], abs=1e-3), name


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    one = train(tmp_path / "one", "1")
    two = train(tmp_path / "two", "2")
    assert (one["processes"], two["processes"]) == (1, 2)
    assert_same(two, one)
    for answer in (one, two):  # each image once an epoch, in one process or the other
        seen = sum((Counter(part) for part in answer["seen"]), Counter[str]())
        assert set(seen.values()) == {2 * EPOCHS}
        assert len(seen) == 31
    assert all(len(part) > 10 for part in two["seen"])
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1]
    assert len(list((tmp_path / "two" / "tensorboard").glob("events*"))) == 1, "process 0 writes"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", "pooled"])
def test_other_decoders_too(kind: str, tmp_path: Path) -> None:
    answers = [train(tmp_path / n, n, "--kind", kind) for n in ("1", "2")]
    assert_same(*answers)


@pytest.mark.slow
def test_distillation_too(tmp_path: Path) -> None:
    answers = [train(tmp_path / n, n, "--distill") for n in ("1", "2")]
    assert_same(*answers)


@pytest.mark.slow
@pytest.mark.parametrize("die_at", [20, 40, 80], ids=["first epoch", "second epoch", "self-critical"])
def test_killed_and_resumed_it_ends_the_same(die_at: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "1")
    code, _ = run(*PLAIN, str(tmp_path / "killed"), "2", "--die-at", str(die_at // 2))
    assert code == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result.json").exists()
    assert_same(train(tmp_path / "killed", "2", "--resume"), whole)


@pytest.mark.slow
def test_torchrun_starts_the_processes(tmp_path: Path) -> None:
    torchrun = [*TORCHRUN, "-m", "tests.training.together"]
    assert_same(train(tmp_path / "two", "auto", command=torchrun), train(tmp_path / "one", "1"))


LAUNCHED = """
import os, signal, sys, time
from pathlib import Path
from showtell.config import TrainerConfig
from showtell.training.distributed import start_processes
note = Path(sys.argv[1])
if not start_processes(TrainerConfig(devices=2)).is_rank_zero:
    note.write_text(str(os.getpid()))
    time.sleep(120)  # as in a collective that does not notice
while not note.exists() or not note.read_text():
    time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the id of a parent that has died")
def test_a_launched_process_ends_with_the_one_that_launched_it(tmp_path: Path) -> None:
    script, note = tmp_path / "launched.py", tmp_path / "pid"
    script.write_text(LAUNCHED)
    started = time.monotonic()
    code, _ = run(sys.executable, "-W", "ignore", str(script), str(note))  # until both have closed its pipes
    assert code == -signal.SIGKILL
    assert note.exists()
    assert time.monotonic() - started < 100, "the other process sleeps for longer"


def test_the_shape_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    auto = TrainerConfig()
    assert devices_and_nodes(auto) == (1, 1)
    assert devices_and_nodes(TrainerConfig(devices=4, num_nodes=2)) == (4, 2)
    for name, value in {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "16", "SLURM_NNODES": "2"}.items():
        monkeypatch.setenv(name, value)
    assert devices_and_nodes(auto) == (8, 2)
    monkeypatch.delenv("SLURM_STEP_ID")  # a batch script without srun is one process
    assert devices_and_nodes(auto) == (1, 1)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "12"}.items():
        monkeypatch.setenv(name, value)
    assert devices_and_nodes(auto) == (4, 3)
    with pytest.raises(ConfigError, match=r"trainer\.devices"):
        TrainerConfig(devices=0)


def test_alone_everything_is_answered_at_once() -> None:
    assert (world().rank, world().world_size, world().is_rank_zero) == (0, 1, True)
    assert all_reduce_sum(1.5, 2) == [1.5, 2]
    assert broadcast_object("x") == "x"


@settings(max_examples=30)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_what_was_dealt_out_is_put_together(items: list[int], count: int) -> None:
    assert interleave_shards([items[rank::count] for rank in range(count)]) == items


@pytest.mark.parametrize(("device", "kind"), [("cpu", "cpu"), ("cuda:1", "gpu"), ("mps", "mps")])
def test_lightning_gets_the_device(device: str, kind: str) -> None:
    assert accelerator_of(torch.device(device)) == kind


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_one_gpu_is_not_for_two_processes(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    with pytest.raises(UsageError, match=f"--device {device} is one GPU, and 2 processes"):
        start_processes(TrainerConfig(devices=2))
