"""The folder of a job: settings that it is held to, and files that are damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.errors import DataError, ModelError, UsageError
from showtell.scale.job import Job, check_producer, open_job, read_job
from showtell.scale.parts import WHOLE, Part
from showtell.scale.tasks import Task
from showtell.scale.units import FileUnit
from tests.scale.jobs import Recorder, begin, run


def test_other_settings_are_refused(task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    photos = snippets[:3]
    begin(tmp_path, task, *photos, model="a")
    job = begin(tmp_path, task, *photos, model="b")  # nothing was done yet
    run(job, task)
    with pytest.raises(UsageError, match=r"other settings \(model\).*--out"):
        begin(tmp_path, task, *photos, model="a")
    with pytest.raises(UsageError, match=r"\(sources\)"):
        begin(tmp_path, task, *photos[:2], model="b")
    assert run(begin(tmp_path, task, *photos, model="b"), task).now == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match=r"other files \(mine.txt\)"):
        begin(tmp_path / "other", task, *photos)


def test_another_model_of_the_same_name_is_refused(
    tiny_captioner: Captioner, task: Recorder, snippets: list[Path], tmp_path: Path
) -> None:
    job = begin(tmp_path, task, *snippets[:6], size=2)
    task.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        run(job, task)
    other = Recorder(lambda: tiny_captioner)
    other.__dict__["producer"] = "another"
    with pytest.raises(ModelError, match="made by another model"):
        run(begin(tmp_path, other, *snippets[:6], size=2), other)
    assert job.missing() == [2]
    task.stop_at = None
    assert run(begin(tmp_path, task, *snippets[:6], size=2), task).images == 6


def job_of(tmp_path: Path, task: Task, snippets: list[Path]) -> Job:
    job = begin(tmp_path, task, *snippets[:4], size=2)
    run(job, task)
    return job


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        "[" * 100_000,
        "3",
        '{"shards": 3}',
        '{"shards": "../../{}.x"}',
        '{"shards": "{0.__class__}.x"}',
    ],
)
def test_job_json_of_anything(text: str, task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    job_of(tmp_path, task, snippets)
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(DataError, match=r"job\.json: damaged") as caught:
        begin(tmp_path, task, *snippets[:4], size=2)
    assert "\n" not in str(caught.value)


def test_a_job_without_work_begins_anew_and_one_of_parts_does_not(task: Recorder, tmp_path: Path) -> None:
    listings = iter([["a.jpg"], ["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"]])

    def open_again(part: Part = WHOLE) -> list[str]:
        job = open_job(tmp_path, task.shards, {}, lambda: [FileUnit([name]) for name in next(listings)], part)
        return [name for unit in job.units for name in unit.ids() or ()]

    assert open_again() == ["a.jpg"]
    assert open_again() == ["a.jpg", "b.jpg"]
    assert open_again(Part(2, 2)) == ["a.jpg", "b.jpg"]
    job = read_job(tmp_path)
    assert job.shard(1) == tmp_path / "captions-00001.jsonl"
    job.shard(1).write_text("")
    assert open_again() == ["a.jpg", "b.jpg"]
    assert (job.missing(), replace(job, part=Part(2, 2)).missing()) == ([0], [])
    assert job.images([0, 1]) == 2


def test_a_folder_without_a_job_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no job there; make one with showtell scale"):
        read_job(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="it cannot be written"):
        open_job(tmp_path / "file", "a-{}.jsonl", {}, list)


def test_the_first_shard_decides_what_makes_the_others(tmp_path: Path) -> None:
    job = open_job(tmp_path, "a-{}.jsonl", {}, lambda: [FileUnit(["a"]), FileUnit(["b"])])
    for number in (0, 1):
        job.shard(number).write_text("")
        check_producer(job, number, "one")
    with pytest.raises(ModelError, match=r"a-00001\.jsonl: made by another model"):
        check_producer(job, 1, "two")
    assert job.missing() == [1]
