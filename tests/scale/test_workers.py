"""What runs the workers: their share of a cluster, and errors that come home."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.errors import CheckpointError, ShowtellError, UsageError
from showtell.scale.tasks import CaptionTask
from showtell.scale.units import FileUnit
from showtell.scale.workers import ATTEMPT, ATTEMPTS, Assignment, RayWorker, resources_per_worker, run_on_ray


@pytest.fixture(autouse=True)
def back() -> Iterator[None]:
    """Workers change the folder."""
    folder = Path.cwd()
    yield
    os.chdir(folder)


def load(model: str) -> Captioner:
    captioner = Captioner.load(model)
    captioner.encoder.precision = "fp32"
    return captioner


def work(model: Path | str, folder: Path, shard: Path, photos: list[Path]) -> Any:
    """What a worker sends to the driver."""
    task = CaptionTask(functools.partial(load, str(model)), SearchConfig(), 8)
    worker = RayWorker(pickle.dumps(task), str(folder))
    assignment = Assignment(3, FileUnit([path.name for path in photos]), shard)
    return pickle.loads(worker({"assignment": pickle.dumps(assignment)})["done"])


def test_a_worker_is_made_of_what_pickles(tiny_model: Path, snippets: list[Path], tmp_path: Path) -> None:
    done = work(tiny_model, snippets[0].parent, tmp_path / "a.jsonl", snippets[:3])
    assert done.number == 3
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "a.jsonl"]


def test_errors_come_home(tiny_model: Path, snippets: list[Path], tmp_path: Path) -> None:
    error = work("no/such/model", snippets[0].parent, tmp_path / "a.jsonl", snippets[:3])
    assert isinstance(error, CheckpointError)
    assert "no/such/model" in str(error)
    for folder, shard in ((tmp_path / "none", tmp_path / "a"), (tmp_path, tmp_path / "none" / "a")):
        error = work(tiny_model, folder, shard, snippets[:3])
        assert isinstance(error, UsageError)
        assert "none: a worker's machine has no such folder" in str(error)


def test_a_unit_that_kills_its_workers_comes_to_an_end(
    tiny_model: Path, snippets: list[Path], tmp_path: Path
) -> None:
    (tmp_path / f"{ATTEMPT}a.jsonl").write_bytes(b"." * (ATTEMPTS - 1))
    done = work(tiny_model, snippets[0].parent, tmp_path / "a.jsonl", snippets[:3])
    assert done.number == 3
    (tmp_path / f"{ATTEMPT}a.jsonl").write_bytes(b"." * ATTEMPTS)
    error = work(tiny_model, snippets[0].parent, tmp_path / "a.jsonl", snippets[:3])
    assert isinstance(error, ShowtellError)
    assert "workers have died of it" in str(error)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 60))
def test_cores_are_shared_out(cores: list[int], workers: int) -> None:
    machines = [{"CPU": float(count)} for count in cores]
    if sum(cores) < workers:
        with pytest.raises(UsageError, match="each worker needs one"):
            resources_per_worker(machines, workers)
        return
    each = int(resources_per_worker(machines, workers)["num_cpus"])
    assert sum(count // each for count in cores) >= workers
    assert sum(count // (each + 1) for count in cores) < workers


@pytest.mark.parametrize(("workers", "each"), [(1, 1.0), (2, 1.0), (3, 0.5), (4, 0.5), (5, 1 / 3)])
def test_gpus_are_shared_out(workers: int, each: float) -> None:
    assert resources_per_worker([{"CPU": 4.0, "GPU": 1.0}, {"GPU": 1.0}, {"CPU": 4.0}], workers) == {
        "num_gpus": each
    }


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    task = CaptionTask(functools.partial(load, "none"), SearchConfig(), 8)
    with pytest.raises(UsageError, match=r"pip install 'showtell\[scale\]'"):
        next(run_on_ray(task, [Assignment(0, FileUnit(["a.jpg"]), tmp_path / "a")], 1, None))
