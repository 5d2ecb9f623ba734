"""Jobs in this process, and the captions that they are to write."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.output.jsonl import JsonlWriter
from showtell.output.record import Record
from showtell.scale.checksums import Checksum
from showtell.scale.job import Job, open_job
from showtell.scale.listing import list_units
from showtell.scale.runner import Summary, run_job
from showtell.scale.tasks import CaptionTask, Task
from showtell.scale.units import Unit

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
