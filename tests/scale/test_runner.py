"""Jobs in this process: the same captions from all sources, each once, whatever happened before."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from showtell.captioning.captioner import Captioner
from showtell.config import FeatureType, SearchConfig
from showtell.errors import DataError, FeatureStoreError, ModelError, ShowtellError, UsageError
from showtell.features.store import FeatureStore
from showtell.output.jsonl import JsonlWriter
from showtell.output.record import Record
from showtell.scale import job as jobs
from showtell.scale.checksums import Checksum
from showtell.scale.feature_shards import ShardedFeatures
from showtell.scale.job import Job, open_job
from showtell.scale.listing import list_units
from showtell.scale.locks import exclusive_run
from showtell.scale.runner import Summary, run_job
from showtell.scale.tasks import CaptionTask, FeatureTask, Task
from showtell.scale.units import FileUnit, Unit
from tests.scale.sources import make_parquet, make_webdataset

SIZE = 12


class Recorder(CaptionTask):
    """Notes the units it was given; stops, as Ctrl-C does, before the unit `stop_at`."""

    def __init__(self, load: Callable[[], Captioner]) -> None:
        super().__init__(load, SearchConfig(), 8)
        self.ran: list[str] = []
        self.stop_at: int | None = None

    def run(self, unit: Unit, shard: Path) -> Checksum:
        if self.stop_at == len(self.ran):
            raise KeyboardInterrupt
        self.ran.append(shard.name)
        return super().run(unit, shard)


@pytest.fixture
def task(tiny_captioner: Captioner) -> Recorder:
    return Recorder(lambda: tiny_captioner)


def begin(folder: Path, task: Task, *sources: Path | str, size: int = SIZE, **settings: object) -> Job:
    named = [str(source) for source in sources]
    return open_job(folder, task.shards, {"sources": named, **settings}, lambda: list_units(named, size))


def run(job: Job, task: Task) -> Summary:
    return run_job(job, task, workers=0, address=None, progress=lambda _: None)


def rows(job: Job) -> list[dict[str, object]]:
    shards = [job.shard(number) for number in range(len(job.units))]
    return [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]


def direct(captioner: Captioner, photos: Sequence[Path]) -> list[dict[str, object]]:
    """What `showtell caption` writes of photos."""
    stream = captioner.caption_stream(photos, open_source=lambda path: path)
    lines = JsonlWriter(Path("none"))
    return [json.loads(lines.format(Record(str(done.source), done.captions))) for done in stream]


def assert_same(records: list[dict[str, object]], expected: list[dict[str, object]]) -> None:
    """The same captions, in order; their names are another matter, and batches round differently."""
    assert [record["caption"] for record in records] == [record["caption"] for record in expected]
    assert [record["log_probability"] for record in records] == pytest.approx(
        [record["log_probability"] for record in expected], abs=0.01
    )


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


def test_a_stop_within_a_unit_leaves_no_half_shard(
    task: Recorder, snippets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(writer: JsonlWriter, record: Record) -> str:
        if record.image.endswith("0015.jpg"):
            raise KeyboardInterrupt
        return formatted(writer, record)

    formatted = JsonlWriter.format
    monkeypatch.setattr(JsonlWriter, "format", stop)
    job = begin(tmp_path / "out", task, snippets[0].parent)
    with pytest.raises(KeyboardInterrupt):
        run(job, task)
    assert job.missing() == [1, 2, 3]
    assert len(job.shard(0).read_text().splitlines()) == SIZE


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


def test_another_model_of_the_same_name_is_found_out(
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


def test_a_folder_is_for_one_run(tmp_path: Path) -> None:
    with exclusive_run(tmp_path), pytest.raises(ShowtellError, match="another run"), exclusive_run(tmp_path):
        pass
    with FileLock(tmp_path / ".lock"), pytest.raises(ShowtellError), exclusive_run(tmp_path):
        pass
    with exclusive_run(tmp_path):
        pass


def test_no_room(
    task: Recorder, snippets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    job = begin(tmp_path, task, *snippets[:4])
    monkeypatch.setattr("showtell.utils.files.os.fsync", full)
    with pytest.raises(ShowtellError, match=r"captions-00000.jsonl: cannot be written \(No space left"):
        run(job, task)


def test_fingerprints_name_what_decides_the_captions(tiny_model: Path) -> None:
    first, same, other, moved = (Captioner.load(str(tiny_model)) for _ in range(4))
    other.encoder.precision = "bf16" if first.encoder.dtype == torch.float32 else "fp32"
    with torch.no_grad():
        next(moved.decoder.parameters()).add_(0.01)
    assert first.fingerprint() == same.fingerprint()
    assert len({model.fingerprint() for model in (first, other, moved)}) == 3


# Features


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_features_are_those_of_the_cache(
    tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path, kind: FeatureType
) -> None:
    encoder = tiny_captioner.encoder
    store = FeatureStore(tmp_path / "cache", encoder, kind)
    store.extract([(path, "full") for path in snippets])
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    task = FeatureTask(lambda: encoder, kind)
    job = begin(tmp_path / "out", task, broken, *snippets)
    with pytest.raises(FeatureStoreError, match="4 of 4 shards are missing"):
        ShardedFeatures(tmp_path / "out")
    summary = run(job, task)
    assert (summary.images, len(summary.failed)) == (41, 1)
    found = ShardedFeatures(tmp_path / "out")
    assert list(found) == [str(path) for path in snippets]
    assert len(found) == 40
    assert found.failed == {str(broken): "the file is empty"}
    for path in snippets:
        expected = store[store.row(path)]
        assert found[str(path)].dtype == np.float16
        step = 0.004 * float(np.ptp(expected))  # a level of 255: batches round differently
        np.testing.assert_allclose(found[str(path)], expected, rtol=0.01, atol=step)
    with pytest.raises(KeyError):
        found["other"]


def test_shards_that_do_not_go_together(
    tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path
) -> None:
    task = FeatureTask(lambda: tiny_captioner.encoder, "float16")
    job = begin(tmp_path, task, *snippets[:4], size=2)
    run(job, task)
    kept = job.shard(1).read_bytes()
    job.shard(1).write_bytes(job.shard(0).read_bytes())
    with pytest.raises(FeatureStoreError, match="holds an id a second time"):
        ShardedFeatures(tmp_path)
    job.shard(1).write_bytes(kept[:100])
    with pytest.raises(FeatureStoreError, match=r"features-00001\.safetensors: damaged \("):
        ShardedFeatures(tmp_path)
    other = FeatureTask(lambda: tiny_captioner.encoder, "float16")
    other.__dict__["producer"] = "another"
    other.run(job.units[1], job.shard(1))
    with pytest.raises(FeatureStoreError, match="made by another encoder"):
        ShardedFeatures(tmp_path)


def test_units_of_failures_only(tiny_captioner: Captioner, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    task = FeatureTask(lambda: tiny_captioner.encoder, "int8")
    job = begin(tmp_path / "out", task, tmp_path / "a.jpg")
    assert run(job, task).images == 1
    assert len(ShardedFeatures(tmp_path / "out")) == 0
    assert isinstance(job.units[0], FileUnit)
