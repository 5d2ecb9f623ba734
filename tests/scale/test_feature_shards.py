"""Shards of features: read as a mapping, and refused when they do not go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from showtell.captioning.captioner import Captioner
from showtell.config import FeatureType
from showtell.errors import FeatureStoreError
from showtell.features.store import FeatureStore
from showtell.scale.feature_shards import ShardedFeatures
from showtell.scale.tasks import FeatureTask
from showtell.scale.units import FileUnit
from tests.scale.jobs import begin, run


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
    features = ShardedFeatures(tmp_path / "out")
    assert list(features) == [str(path) for path in snippets]
    assert len(features) == 40
    assert features.failed == {str(broken): "the file is empty"}
    for path in snippets:
        expected = store[store.row(path)]
        assert features[str(path)].dtype == np.float16
        step = 0.004 * float(np.ptp(expected))  # a level of 255: batches round differently
        np.testing.assert_allclose(features[str(path)], expected, rtol=0.01, atol=step)
    with pytest.raises(KeyError):
        features["other"]


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
