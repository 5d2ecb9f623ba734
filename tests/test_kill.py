"""Kill -9 at random moments, through the real command: nothing is lost but the work since the checkpoint."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import CHECKPOINT
from tests.conftest import make_snippets, make_tiny_backbone, save_backbone

ROOT = Path(__file__).resolve().parents[1]
KILLS = 20
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 small photos with two captions each, and a tiny encoder as a `transformers` folder."""
    folder = tmp_path_factory.mktemp("kill")
    paths = make_snippets(folder / "images", 300)
    with (folder / "captions.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for i, path in enumerate(paths):
            words = f"a {['red', 'green', 'blue'][i % 3]} {['dog', 'cat', 'boat', 'hat'][i % 4]}"
            writer.writerows([[path.name, words], [path.name, f"{words} again"]])
    save_backbone(folder / "encoder", make_tiny_backbone())
    return folder


def start(dataset: Path, work: Path) -> subprocess.Popen[str]:
    resume = ["--resume"] if list(work.glob(f"run*/{CHECKPOINT}")) else []
    arguments = {
        "data.root": dataset / "captions.csv",
        "data.images": dataset / "images",
        "data.min_count": 1,
        "encoder.weights": dataset / "encoder",
        "encoder.image_size": 64,
        "encoder.precision": "fp32",
        "features": "cached",
        "cache.dir": work / "cache",
        "cache.views": "[full,flip,crop,crop-flip]",
        "decoder.embedding_dim": 64,
        "decoder.hidden_dim": 64,
        "decoder.attention_dim": 64,
        "training.epochs": 4,
        "training.batch_size": 8,
        "training.patience": 0,
        "training.precision": "fp32",
        "training.checkpoint_minutes": 0,  # a checkpoint every step: half of the time is spent in writing
        "out": work / "run",
    }
    command = [sys.executable, "main.py", *(f"--{k}={v}" for k, v in arguments.items()), *resume]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for_work(process: subprocess.Popen[str]) -> None:
    """Read until the features are extracted next: what comes before is only imports."""
    assert process.stderr is not None
    for line in process.stderr:
        if "feature rows" in line:
            return
    pytest.fail("the command ended before its work")


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a good end."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def check_files(work: Path) -> str:
    """Every file that is there is whole; says how far the run had come."""
    for store in work.glob("cache/features/*"):
        json.loads((store / "store.json").read_text())
    runs = sorted(work.glob("run*"))
    reached = "extraction"
    for run in runs:
        if (run / CHECKPOINT).exists():
            checkpoint = torch.load(run / CHECKPOINT, weights_only=True)
            reached = f"epoch {checkpoint['epoch'] + 1}"
        if (run / "model.safetensors").exists():
            Captioner.load(str(run), device=torch.device("cpu"))
        if (run / "history.csv").exists():
            assert all(
                row["val_loss"] for row in csv.DictReader((run / "history.csv").read_text().splitlines())
            )
    return reached


def losses(work: Path) -> list[tuple[str, str]]:
    (file,) = list(work.glob("run*/history.csv"))[-1:]
    return [(row["train_loss"], row["val_loss"]) for row in csv.DictReader(file.read_text().splitlines())]


def test_killed_at_random_moments(dataset: Path, tmp_path: Path) -> None:
    whole = start(dataset, tmp_path / "whole")
    wait_for_work(whole)
    began = time.monotonic()
    finish(whole)
    duration = time.monotonic() - began
    expected = losses(tmp_path / "whole")
    moments = random.Random(0)
    reached: Counter[str] = Counter()
    kills = attempt = 0
    while kills < KILLS:
        work = tmp_path / f"killed-{attempt}"
        while kills < KILLS:
            fresh = not work.exists()
            process = start(dataset, work)
            wait_for_work(process)
            try:  # extraction is short, and comes first: the first kill of a run is meant for it
                process.communicate(timeout=moments.random() * (0.1 if fresh else 0.6 * duration))
                break  # it has ended by itself
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                kills += 1
                reached[check_files(work)] += 1
        if process.returncode != 0:
            process = start(dataset, work)
            wait_for_work(process)
            finish(process)
        assert losses(work) == expected
        attempt += 1
    print(f"{kills} kills in {attempt} runs:", dict(reached))
    assert reached["extraction"] > 0
    assert len(reached) > 2
