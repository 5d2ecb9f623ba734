"""main.py with two processes: one run folder, one voice, and an orderly stop."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from showtell.checkpoints.run_folder import CHECKPOINT
from tests.test_kill import dataset  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def start(dataset: Path, work: Path, devices: int, *more: str) -> subprocess.Popen[str]:  # noqa: F811
    arguments = {
        "data.root": dataset / "captions.csv",
        "data.images": dataset / "images",
        "data.min_count": 1,
        "encoder.weights": dataset / "encoder",
        "encoder.image_size": 64,
        "encoder.precision": "fp32",
        "cache.dir": work / "cache",
        "cache.views": "[full,flip]",
        "decoder.embedding_dim": 64,
        "decoder.hidden_dim": 64,
        "decoder.attention_dim": 64,
        "decoder.dropout": 0,
        "training.epochs": 6,
        "training.batch_size": 4,
        "training.precision": "fp32",
        "trainer.devices": devices,
        "out": work / "run",
    }
    command = [sys.executable, "main.py", *(f"--{k}={v}" for k, v in arguments.items()), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def losses(work: Path) -> list[float]:
    rows = csv.DictReader((work / "run" / "history.csv").read_text().splitlines())
    return [float(row[name]) for row in rows for name in ("train_loss", "val_loss")]


def test_two_processes_of_main_py(dataset: Path, tmp_path: Path) -> None:  # noqa: F811
    one = start(dataset, tmp_path / "one", 1)
    assert "Best model" in one.communicate(timeout=300)[1]
    two = start(dataset, tmp_path / "two", 2)
    assert two.stderr is not None
    before = []
    for line in two.stderr:
        before.append(line)
        if line.startswith("epoch 2/"):
            break
    time.sleep(0.3)  # within the third epoch
    os.killpg(two.pid, signal.SIGINT)  # as Ctrl-C does: all processes get it, at different steps
    log = two.communicate(timeout=120)[1]
    assert two.returncode == 130, log
    assert log.count("continue with --resume") == 1
    text = "".join(before)
    assert text.count("Read /") == 1, "one process logs for all"
    assert text.count("epoch 1/") == 1
    assert [path.name for path in (tmp_path / "two").glob("run*")] == ["run"], "one folder"
    assert (tmp_path / "two" / "run" / CHECKPOINT).exists()
    resumed = start(dataset, tmp_path / "two", 2, "--resume")
    log = resumed.communicate(timeout=300)[1]
    assert resumed.returncode == 0, log
    assert log.count("Best model") == 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


def test_a_mistake_is_told_once(dataset: Path, tmp_path: Path) -> None:  # noqa: F811
    for more, complaint in (
        (["--data.root", "missing"], "missing"),
        (["--resume"], "no run to resume there"),
        (["--training.batch_size", "1"], "batches of 1 images are too small for 2 processes"),
    ):
        process = start(dataset, tmp_path, 2, *more)
        log = process.communicate(timeout=120)[1]
        assert process.returncode in (1, 2)
        assert log.count("error:") == 1, log
        assert complaint in log
        assert "Traceback" not in log
