"""Parts of a job, as of a SLURM array: together they are the job, whatever stops or begins when."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.errors import UsageError
from showtell.scale.job import Job, open_job
from showtell.scale.listing import list_units
from showtell.scale.locks import exclusive_run
from showtell.scale.parts import WHOLE, Part
from showtell.scale.runner import Summary, remove_damaged, run_job
from showtell.scale.tasks import CaptionTask


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(1, 40))
def test_every_unit_is_in_one_part(units: int, count: int) -> None:
    parts = [Part.parse(f"{number}/{count}").numbers(units) for number in range(1, count + 1)]
    assert sorted(number for numbers in parts for number in numbers) == list(range(units))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/0", "a/b", "-1/8", "1/8/2", "", "1.5/3"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(UsageError, match="not a part; give 1/8, 2/8"):
        Part.parse(text)


@pytest.fixture
def task(tiny_captioner: Captioner) -> CaptionTask:
    return CaptionTask(lambda: tiny_captioner, SearchConfig(), 8)


def begin(folder: Path, task: CaptionTask, photos: list[Path], part: Part = WHOLE, size: int = 3) -> Job:
    named = [str(photo) for photo in photos]
    return open_job(folder, task.shards, {"of": "test"}, lambda: list_units(named, size), part)


def run(job: Job, task: CaptionTask) -> Summary:
    with exclusive_run(job.folder, job.part):
        return run_job(job, task, workers=0, address=None, progress=lambda _: None)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("captions-*"))}


def test_parts_together_are_the_job(task: CaptionTask, snippets: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    photos = [*snippets[:10], broken]
    run(begin(tmp_path / "whole", task, photos), task)
    out = tmp_path / "parts"
    for number in (2, 3, 1):
        assert not (out / "failed.jsonl").exists()
        job = begin(out, task, photos, Part(number, 3))
        summary = run(job, task)
        assert summary.images == sum(len(job.units[of]) for of in job.numbers)
    assert contents(out) == contents(tmp_path / "whole")
    assert json.loads((out / "failed.jsonl").read_text())["image"] == str(broken)
    assert run(begin(out, task, photos), task).now == 0


def test_parts_that_run_at_once(task: CaptionTask, snippets: list[Path], tmp_path: Path) -> None:
    assert task.producer  # the threads share a model that is loaded
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(lambda n=n: run(begin(tmp_path, task, snippets[:12], Part(n, 4), 1), task))  # type: ignore[misc]
            for n in range(1, 5)
        ]
        assert [done.result().now for done in jobs] == [3] * 4
    names = [json.loads(line)["shard"] for line in (tmp_path / "checksums.jsonl").read_text().splitlines()]
    assert sorted(names) == sorted(contents(tmp_path))
    assert len(names) == 12


def test_a_part_goes_on_and_repairs_its_own_shards_only(
    task: CaptionTask, snippets: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (begin(tmp_path, task, snippets[:12], Part(n, 2)) for n in (1, 2))
    run(first, task)
    run(second, task)
    whole = contents(tmp_path)
    for shard in (first.shard(0), second.shard(1)):
        shard.write_text(shard.read_text().replace("a", "b"))
    second.shard(3).unlink()
    assert remove_damaged(second, task) == [1]
    assert second.missing() == [1, 3]
    assert run(second, task).now == 6  # and only a warning of the other part
    assert "captions-00000.jsonl: damaged" in caplog.text
    assert remove_damaged(first, task) == [0]
    run(first, task)
    assert contents(tmp_path) == whole


def test_photos_that_come_after_the_first_part_has_begun_are_not_in_the_job(
    task: CaptionTask, snippets: list[Path], tmp_path: Path
) -> None:
    begin(tmp_path, task, snippets[:6], Part(1, 2))  # it has no shard yet
    late = begin(tmp_path, task, snippets[:9], Part(2, 2))
    assert len(late.units) == 2


def test_more_parts_than_units(task: CaptionTask, snippets: list[Path], tmp_path: Path) -> None:
    assert run(begin(tmp_path, task, snippets[:3], Part(5, 8)), task).images == 0
    assert run(begin(tmp_path, task, snippets[:3], Part(1, 8)), task).images == 3
