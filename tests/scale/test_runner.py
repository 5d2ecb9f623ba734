"""Jobs in this process: the same captions from all sources, each once, whatever happened before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.errors import DataError, ShowtellError
from showtell.scale import job as jobs
from tests.scale.jobs import Recorder, assert_same, begin, direct, rows, run
from tests.scale.sources import make_parquet, make_webdataset


def test_the_same_captions_from_files_tar_and_parquet(
    tiny_captioner: Captioner, task: Recorder, snippets: list[Path], tmp_path: Path
) -> None:
    expected = direct(tiny_captioner, snippets)
    from_files = begin(tmp_path / "files", task, snippets[0].parent)
    summary = run(from_files, task)
    assert [record["image"] for record in rows(from_files)] == [record["image"] for record in expected]
    assert_same(rows(from_files), expected)
    assert (summary.images, summary.now, summary.failed) == (40, 40, {})
    assert len(from_files.units) == 4
    tar = make_webdataset(tmp_path / "a.tar", snippets)
    parquet = make_parquet(
        tmp_path / "a.parquet",
        {"image": [{"bytes": p.read_bytes()} for p in snippets], "key": [p.name for p in snippets]},
    )
    for source in (tar, parquet):
        job = begin(tmp_path / f"{source.name}-out", task, source)
        run(job, task)
        assert [record["image"] for record in rows(job)] == [f"{source}/{p.name}" for p in snippets]
        assert_same(rows(job), expected)


def test_a_job_goes_on_where_it_stopped(task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    whole = begin(tmp_path / "whole", task, snippets[0].parent)
    run(whole, task)
    task.ran.clear()
    task.stop_at = 2
    job = begin(tmp_path / "out", task, snippets[0].parent)
    with pytest.raises(KeyboardInterrupt):
        run(job, task)
    assert job.missing() == [2, 3]
    job.shard(0).unlink()  # lost
    task.ran.clear()
    task.stop_at = None
    again = begin(tmp_path / "out", task, snippets[0].parent)
    summary = run(again, task)
    assert task.ran == ["captions-00000.jsonl", "captions-00002.jsonl", "captions-00003.jsonl"]
    assert (summary.images, summary.now) == (40, 28)
    assert "12 were there already" in str(summary)
    assert rows(again) == rows(whole)
    task.ran.clear()
    assert run(again, task).now == 0
    assert task.ran == []


def test_the_listing_is_that_of_the_beginning(task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in snippets[:20]:
        (photos / path.name).write_bytes(path.read_bytes())
    task.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        run(begin(tmp_path / "out", task, photos), task)
    (photos / "0000-new.jpg").write_bytes(snippets[20].read_bytes())
    (photos / "0019.jpg").unlink()
    task.stop_at = None
    job = begin(tmp_path / "out", task, photos)
    summary = run(job, task)
    assert [record["image"] for record in rows(job)] == [str(photos / p.name) for p in snippets[:20]]
    assert summary.failed == {str(photos / "0019.jpg"): "no such file"}


def test_failed_images_are_listed(task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    empty, text = tmp_path / "é.jpg", tmp_path / "b.jpg"
    empty.write_bytes(b"")
    text.write_text("no photo")
    job = begin(tmp_path / "out", task, empty, *snippets[:3], text, size=2)
    summary = run(job, task)
    assert "5 photos, 2 of them failed" in str(summary)
    listed = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    assert [row["image"] for row in listed] == [str(empty), str(text)]
    assert listed[0]["error"] == "the file is empty"
    assert [row for row in rows(job) if "error" in row] == listed


def test_damage_is_found(task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    job = begin(tmp_path, task, *snippets[:4])
    run(job, task)
    job.shard(0).write_text("".join(job.shard(0).read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="holds 3 photos instead of 4; run the same command again"):
        run(job, task)
    (tmp_path / jobs.UNITS).write_text("{}\n")
    with pytest.raises(DataError, match=r"units\.jsonl: damaged"):
        begin(tmp_path, task, *snippets[:4])
    (tmp_path / jobs.FILE_NAME).write_text("{")
    with pytest.raises(DataError, match=r"job\.json: damaged"):
        begin(tmp_path, task, *snippets[:4])


def test_no_room(
    task: Recorder, snippets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    job = begin(tmp_path, task, *snippets[:4])
    monkeypatch.setattr("showtell.utils.files.os.fsync", full)
    with pytest.raises(ShowtellError, match=r"captions-00000.jsonl: cannot be written \(No space left"):
        run(job, task)
