"""Features made by an exported model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from showtell.captioning.captioner import Captioner
from showtell.config import CacheConfig
from showtell.errors import UsageError
from showtell.features.extraction import feature_encoder
from showtell.features.store import FeatureStore
from showtell.runtime.exported import ExportedEncoder
from tests.conftest import make_tiny_encoder


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_store_of_another_runtime_is_another_store(
    runtime: str, exported: Path, tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path
) -> None:
    wanted = [(path, "full") for path in snippets[:6]]
    stores = [
        FeatureStore(tmp_path, encoder)
        for encoder in (tiny_captioner.encoder, ExportedEncoder.load(exported, runtime))
    ]
    assert stores[0].folder != stores[1].folder
    assert runtime in (stores[1].folder / "store.json").read_text()
    for store in stores:
        assert store.plan(wanted).missing == 6
        assert store.extract(wanted).extracted == 6
    for path in snippets[:6]:
        rows = [store[store.row(path)].astype(np.float32) for store in stores]
        np.testing.assert_allclose(rows[0], rows[1], rtol=1e-2, atol=1e-2)
    again = FeatureStore(tmp_path, ExportedEncoder.load(exported, runtime))
    assert not again.missing(wanted)


def test_an_exported_encoder_takes_the_place_of_its_own_only(exported: Path, tmp_path: Path) -> None:
    own, other = make_tiny_encoder(), make_tiny_encoder(seed=1)
    assert feature_encoder(CacheConfig(), own) is own
    config = CacheConfig(exported=str(exported))
    assert isinstance(feature_encoder(config, own), ExportedEncoder)
    for wrong in (other, make_tiny_encoder(size=96)):
        with pytest.raises(UsageError, match="other encoder weights"):
            feature_encoder(config, wrong)
    with pytest.raises(UsageError, match="no exported model there"):
        feature_encoder(CacheConfig(exported=str(tmp_path)), own)
