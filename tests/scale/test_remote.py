"""Sources and output folders in fsspec's file systems: in memory, and `file://` of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from showtell.captioning.captioner import Captioner
from showtell.cli import main
from showtell.config import SearchConfig
from showtell.errors import FeatureStoreError, ImageError, UsageError
from showtell.scale.feature_shards import ShardedFeatures, read_header
from showtell.scale.job import open_job
from showtell.scale.listing import list_units
from showtell.scale.parts import Part
from showtell.scale.runner import remove_damaged, run_job
from showtell.scale.tasks import CaptionTask, FeatureTask, Task
from showtell.scale.units import unit_from_json, unit_to_json
from showtell.utils.storage import location, names_in, write_whole
from tests.scale.sources import make_parquet, make_webdataset

pytest.importorskip("upath", reason="the extra cloud is not installed")


@pytest.fixture
def bucket(snippets: list[Path], tmp_path: Path) -> Iterator[Any]:
    """A store in memory with six photos in a folder, three in a tar file and three in a Parquet file."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    for photo in snippets[:6]:
        store.pipe_file(f"/bucket/photos/{photo.name}", photo.read_bytes())
    store.pipe_file("/bucket/photos/.hidden.jpg", b"")
    store.pipe_file("/bucket/photos/notes.txt", b"no photo")
    tar = make_webdataset(tmp_path / "a.tar", snippets[6:9])
    rows = [photo.read_bytes() for photo in snippets[9:11]]
    parquet = make_parquet(tmp_path / "a.parquet", {"jpg": rows})
    names = make_parquet(tmp_path / "names.parquet", {"path": ["photos/0000.jpg"]})
    for file in (tar, parquet, names):
        store.pipe_file(f"/bucket/{file.name}", file.read_bytes())
    yield store
    store.store.clear()


def contents(*sources: str) -> list[bytes]:
    listed = [unit_from_json(unit_to_json(unit)) for unit in list_units(sources, 4)]
    opened = [image.open() for unit in listed for image in unit.images()]
    assert all(isinstance(content, bytes) for content in opened)
    return [content for content in opened if isinstance(content, bytes)]


@pytest.mark.parametrize(
    ("source", "which"),
    [
        ("memory://bucket/photos", slice(0, 6)),
        ("memory://bucket/photos/", slice(0, 6)),
        ("memory://bucket/photos/000[1-3].jpg", slice(1, 4)),
        ("memory://bucket/photos/0004.jpg", slice(4, 5)),
        ("memory://bucket/*.tar", slice(6, 9)),
        ("memory://bucket/a.parquet", slice(9, 11)),
        ("memory://bucket/names.parquet", slice(0, 1)),
    ],
)
def test_sources(bucket: Any, snippets: list[Path], source: str, which: slice) -> None:
    assert contents(source) == [photo.read_bytes() for photo in snippets[which]]


def test_sources_of_this_machine_by_address(snippets: list[Path]) -> None:
    folder = snippets[0].parent
    assert contents(f"file://{folder}/000?.jpg") == [photo.read_bytes() for photo in snippets[:10]]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("memory://bucket/nothing", "no image files there"),
        ("memory://bucket/*.webp", "no image files there"),
        ("nosuch://bucket/photos", "nosuch"),
        ("dropbox://x", r"pip install 'showtell\[cloud\]'"),
    ],
)
def test_sources_that_are_not_there(bucket: Any, source: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        list(list_units([source], 4))


def test_an_object_that_is_lost_after_the_listing(bucket: Any) -> None:
    (unit,) = list_units(["memory://bucket/photos/0000.jpg"], 4)
    bucket.rm("/bucket/photos/0000.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        next(iter(unit.images())).open()


def run(task: Task, out: str, part: Part) -> int:
    sources = ["memory://bucket/photos", "memory://bucket/a.tar"]
    job = open_job(location(out), task.shards, {"sources": sources}, lambda: list_units(sources, 2), part)
    assert len(job.units) == 5
    remove_damaged(job, task)
    return run_job(job, task, workers=0, address=None, progress=lambda _: None).now


@pytest.mark.parametrize("scheme", ["memory://bucket/out", "file://{tmp}/out"])
def test_a_job_in_a_store(tiny_captioner: Captioner, bucket: Any, tmp_path: Path, scheme: str) -> None:
    task, out = CaptionTask(lambda: tiny_captioner, SearchConfig(), 8), scheme.format(tmp=tmp_path)
    assert run(task, out, Part(1, 2)) == 6 - 1  # two units of two, and the last one of one
    assert run(task, out, Part(2, 2)) == 4
    shards = sorted(name for name in names_in(location(out)) if name.startswith("captions"))
    assert shards == [f"captions-{number:05}.jsonl" for number in range(5)]
    records = [
        json.loads(line) for name in shards for line in (location(out) / name).read_text().split("\n") if line
    ]
    assert [Path(record["image"]).name for record in records] == [f"{number:04}.jpg" for number in range(9)]
    shard = location(out) / shards[1]
    write_whole(shard, shard.read_text().partition("\n")[0] + "\n")  # a record is lost
    assert run(task, out, Part(1, 1)) == 2


def test_features_in_a_store(tiny_captioner: Captioner, bucket: Any) -> None:
    task = FeatureTask(lambda: tiny_captioner.encoder, "int8")
    assert run(task, "memory://bucket/features", Part(1, 1)) == 9
    shard = location("memory://bucket/features/features-00000.safetensors")
    assert len(read_header(shard).ids) == 2
    assert run(task, "memory://bucket/features", Part(1, 1)) == 0
    whole = shard.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", b"{}" * 20):
        write_whole(shard, damaged)
        with pytest.raises(FeatureStoreError, match="damaged"):
            read_header(shard)
    with pytest.raises(UsageError, match="copy the folder to a disk first"):
        ShardedFeatures(location("memory://bucket/features"))


def test_the_command(
    tiny_model: Path, bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["scale", "caption", "memory://bucket/photos", "--model", str(tiny_model), "--unit-size", "2"]
    out = "memory://bucket/captions"
    assert main([*command, "--out", out, "--part", "2/2"]) == 0
    assert f"{out}: 1 of 3 shards of captions" in (log := capsys.readouterr().err)
    assert "part 2/2 is done; shards of other parts that are missing: 2" in log
    assert main([*command, "--out", out, "--part", "1/2"]) == 0
    assert "part 1/2 is done; so are the others" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "local")]) == 0
    local = [path.read_bytes() for path in sorted((tmp_path / "local").glob("captions-*"))]
    assert [bucket.cat_file(f"/bucket/captions/captions-{n:05}.jsonl") for n in range(3)] == local
