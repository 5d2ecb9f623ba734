"""Tasks: the shards that they make, and the names of their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from showtell.captioning.captioner import Captioner
from showtell.errors import DataError
from showtell.output.jsonl import JsonlWriter
from showtell.output.record import Record
from showtell.scale.checksums import Checksum
from showtell.scale.tasks import FeatureTask
from showtell.scale.units import FileUnit
from tests.scale.jobs import SIZE, Recorder, begin, run
from tests.scale.test_checksums import cut_within_a_line, emptied, of_other_images


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


def test_fingerprints_name_what_decides_the_captions(tiny_model: Path) -> None:
    first, same, other, moved = (Captioner.load(str(tiny_model)) for _ in range(4))
    other.encoder.precision = "bf16" if first.encoder.dtype == torch.float32 else "fp32"
    with torch.no_grad():
        next(moved.decoder.parameters()).add_(0.01)
    assert first.fingerprint() == same.fingerprint()
    assert len({model.fingerprint() for model in (first, other, moved)}) == 3


def test_damage_during_a_run_is_named(task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    job = begin(tmp_path, task, *snippets[:4], size=2)
    run(job, task)
    for damage, reason in (
        (cut_within_a_line, r"captions-00001\.jsonl: damaged, line 2 is no record"),
        (of_other_images, r"captions-00001\.jsonl: holds other photos than its unit"),
        (emptied, r"captions-00001\.jsonl: holds 0 photos instead of 2"),
    ):
        damage(job.shard(1))
        with pytest.raises(DataError, match=reason):
            run(job, task)
        job.shard(1).unlink()
        run(job, task)


def test_the_outcome_is_the_names_of_a_shard_and_its_failures(tmp_path: Path, task: Recorder) -> None:
    lines = [
        {"image": "a.jpg", "caption": "a dog\u2028runs"},
        {"image": "b.jpg", "error": "the file is empty"},
    ]
    shard = tmp_path / "captions-00000.jsonl"
    shard.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    assert task.outcome(shard) == (["a.jpg", "b.jpg"], {"b.jpg": "the file is empty"})


@pytest.mark.parametrize(
    "line",
    ["[]", "3", "{", '{"caption": "a"}', '{"image": "a"}', '{"image": "a", "caption": 3}'],
)
def test_a_line_that_is_no_record_is_named(line: str, tmp_path: Path, task: Recorder) -> None:
    shard = tmp_path / "captions-00000.jsonl"
    shard.write_text(f'{{"image": "a.jpg", "caption": "a dog"}}\n{line}\n')
    with pytest.raises(DataError, match=r"captions-00000\.jsonl: damaged, line [23] is no record"):
        task.outcome(shard)


def test_a_feature_shard_has_the_features_of_its_own_images(
    tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    files = [str(snippets[0]), str(tmp_path / "bad.jpg"), str(snippets[1])]
    task, shard = FeatureTask(lambda: tiny_captioner.encoder, "float16"), tmp_path / "features.safetensors"
    assert task.run(FileUnit(files), shard) == Checksum.of_file(shard)
    assert task.outcome(shard) == ([files[0], files[2], files[1]], {files[1]: "the file is empty"})
    pixels = [tiny_captioner.transform.pixels(path) for path in snippets[:2]]
    expected = tiny_captioner.encode_pixels(pixels)
    features = load_file(shard)["features"].float()
    torch.testing.assert_close(features, expected.float(), rtol=1e-2, atol=1e-2)


def test_features_need_an_id_for_each_image(tiny_model: Path, snippets: list[Path], tmp_path: Path) -> None:
    unit = FileUnit((*map(str, snippets[:3]), str(snippets[1])))
    task = FeatureTask(lambda: Captioner.load(str(tiny_model)).encoder, "float16")
    with pytest.raises(DataError, match=r"0001\.jpg: the id of two images; name a column of unique ids"):
        task.run(unit, tmp_path / "shard.safetensors")
