"""Two workers of Ray Data, one of them killed in the middle: every image once, as by one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from showtell.cli import main
from tests.conftest import make_snippets

pytest.importorskip("ray", reason="the extra scale is not installed")
psutil = pytest.importorskip("psutil", reason="psutil is needed to find the workers")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PHOTOS, UNIT = 600, 15


def captions(shards: Iterator[Path]) -> list[tuple[str, str]]:
    records = [json.loads(line) for shard in sorted(shards) for line in shard.read_text().splitlines()]
    return [(record["image"], record["caption"]) for record in records]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the actors that the command has started."""
    workers = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "MapWorker" in " ".join(child.cmdline()):
                workers.append(child.pid)
        except psutil.Error:  # it has just ended
            continue
    return workers


def kill_one(process: subprocess.Popen[str], out: Path) -> int:
    """Kill a worker once some shards are there, and most are not; returns how many were."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, "the command ended before a worker could be killed"
        done = len(list(out.glob("captions-*.jsonl")))
        workers = workers_of(process) if done >= 3 else []
        if len(workers) == 2:
            os.kill(workers[0], signal.SIGKILL)
            return done
        time.sleep(0.02)
    raise AssertionError("no work was done")


def test_a_killed_worker_costs_no_image_and_doubles_none(exported: Path, tmp_path: Path) -> None:
    make_snippets(tmp_path / "photos", PHOTOS)
    command = [
        "caption",
        str(tmp_path / "photos"),
        "--model",
        str(exported),
    ]  # fp32: equal in batches of any size
    assert main([*command, "--output", str(tmp_path / "one.jsonl")]) == 0
    out = tmp_path / "out"
    arguments = ["scale", *command, "--out", str(out), "--workers", "2", "--unit-size", str(UNIT)]
    process = subprocess.Popen(
        [sys.executable, "-m", "showtell.cli", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    done = kill_one(process, out)
    _, log = process.communicate(timeout=300)
    assert process.returncode == 0, log
    assert done < PHOTOS / UNIT, "the kill came too late to matter"
    assert f"{PHOTOS} photos; {PHOTOS} in " in log
    expected = captions(iter([tmp_path / "one.jsonl"]))
    assert captions(out.glob("captions-*.jsonl")) == expected
    assert len(expected) == PHOTOS
    others = {path.name for path in out.iterdir()} - {path.name for path in out.glob("captions-*.jsonl")}
    assert others <= {"job.json", "units.jsonl", "checksums.jsonl", "failed.jsonl", ".lock", ".lock-files"}
