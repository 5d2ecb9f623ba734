"""Damaged shards: detected when a job goes on, named, and made again."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.captioner import Captioner
from showtell.errors import FeatureStoreError
from showtell.scale.checksums import FILE_NAME, Checksum, add_checksum, read_checksums, write_shard_file
from showtell.scale.feature_shards import ShardedFeatures
from showtell.scale.runner import remove_damaged
from showtell.scale.tasks import FeatureTask
from tests.scale.jobs import Recorder, begin, rows, run


def cut_within_a_line(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-20])


def cut_between_lines(shard: Path) -> None:
    shard.write_text("".join(shard.read_text().splitlines(keepends=True)[:-1]))


def flipped(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def of_other_images(shard: Path) -> None:
    shard.write_bytes(shard.with_name(shard.name.replace("1", "0")).read_bytes())


def emptied(shard: Path) -> None:
    shard.write_bytes(b"")


DAMAGES = [cut_within_a_line, cut_between_lines, flipped, of_other_images, emptied]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_and_made_again(
    damage: Callable[[Path], None],
    task: Recorder,
    snippets: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = begin(tmp_path, task, *snippets[:6], size=2)
    run(job, task)
    whole, kept = rows(job), job.shard(2).stat().st_mtime_ns
    damage(job.shard(1))
    with caplog.at_level(logging.WARNING, "showtell.scale"):
        assert remove_damaged(job, task) == [1]
    assert (
        f"{job.shard(1)}: damaged (another checksum than when it was written); it is made again"
        in caplog.text
    )
    assert run(job, task).now == 2
    assert rows(job) == whole
    assert job.shard(2).stat().st_mtime_ns == kept
    assert remove_damaged(job, task) == []


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d is not flipped])
def test_shards_without_a_checksum_are_compared_with_their_unit(
    damage: Callable[[Path], None], task: Recorder, snippets: list[Path], tmp_path: Path
) -> None:
    job = begin(tmp_path, task, *snippets[:6], size=2)
    run(job, task)
    (tmp_path / FILE_NAME).unlink()  # as of an older version
    damage(job.shard(1))
    assert remove_damaged(job, task) == [1]
    assert read_checksums(tmp_path).keys() == {job.shard(0).name, job.shard(2).name}
    run(job, task)
    assert read_checksums(tmp_path)[job.shard(1).name] == Checksum.of_file(job.shard(1))


@pytest.mark.parametrize("damage", [cut_within_a_line, flipped, of_other_images, emptied])
def test_a_damaged_shard_of_features_is_made_again(
    damage: Callable[[Path], None], tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path
) -> None:
    task = FeatureTask(lambda: tiny_captioner.encoder, "float16")
    job = begin(tmp_path, task, *snippets[:4], size=2)
    run(job, task)
    whole = [job.shard(number).read_bytes() for number in range(2)]
    damage(job.shard(1))
    assert remove_damaged(job, task) == [1]
    with pytest.raises(FeatureStoreError, match="1 of 2 shards are missing"):
        ShardedFeatures(tmp_path)
    run(job, task)
    assert [job.shard(number).read_bytes() for number in range(2)] == whole


def test_checksums_survive_a_line_that_is_cut(tmp_path: Path) -> None:
    contents = {f"{number}.jsonl": bytes([number]) * 100 for number in range(3)}
    for number, (name, content) in enumerate(contents.items()):
        add_checksum(tmp_path / name, write_shard_file(tmp_path / name, content))
        if number == 0:  # a kill, within the line that follows
            with (tmp_path / FILE_NAME).open("a") as file:
                file.write('\n{"shard": "1.jso')
    expected = {name: Checksum.of(content) for name, content in contents.items()}
    assert read_checksums(tmp_path) == expected
    assert {name: Checksum.of_file(tmp_path / name) for name in contents} == expected
    assert read_checksums(tmp_path / "none") == {}


@settings(max_examples=40)
@given(st.text() | st.lists(st.recursive(st.integers() | st.none() | st.text(), st.lists)).map(json.dumps))
def test_any_text_is_read_as_checksums(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE_NAME).write_text(text, errors="replace")
        assert isinstance(read_checksums(Path(folder)), dict)


@settings(max_examples=40)
@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_every_changed_byte_changes_the_checksum(content: bytes, place: int, by: int) -> None:
    changed = bytearray(content or b"x")
    changed[place % len(changed)] ^= by
    assert Checksum.of(bytes(changed)) != Checksum.of(content or b"x")
    assert Checksum.of(content + b"\0") != Checksum.of(content)
