"""Runs that several tests of training look at, and training without curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import DEVICE_VARIABLE
from showtell.data.dataset import CaptionLoader
from showtell.decoder import RNNDecoder, packed_targets
from showtell.training import history
from showtell.training.fit import TrainingResult
from tests.conftest import make_tiny_encoder
from tests.training.toy import (
    CONFIG,
    CRITICAL,
    IMAGES,
    datasets,
    initial_model,
    train,
)


@dataclass(frozen=True)
class FinishedRun:
    """A run of the toy task that was never interrupted; tests must not change its folder."""

    folder: Path
    result: TrainingResult


@pytest.fixture
def with_curves() -> None:
    """Ask for the curves of each epoch."""


@pytest.fixture(autouse=True)
def without_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves unless asked: it takes most of the time of a training that is so small."""
    if "with_curves" not in request.fixturenames:
        monkeypatch.setattr(history, "plot_lines", lambda *_, **__: None)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Three epochs of cross-entropy, on the CPU, with curves."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, "cpu")
        return FinishedRun(folder, train(make_tiny_encoder(), folder))


@pytest.fixture(scope="session")
def whole_critical_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two epochs of cross-entropy and six of self-critical training, on the CPU."""
    folder = tmp_path_factory.mktemp("critical")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, "cpu")
        patch.setattr(history, "plot_lines", lambda *_, **__: None)
        config = replace(CONFIG, epochs=2)
        return FinishedRun(folder, train(make_tiny_encoder(), folder, config=config, self_critical=CRITICAL))


@pytest.fixture(scope="session")
def trained() -> Captioner:
    """A model of the old words that has learned them, by plain steps of Adam."""
    model = initial_model(make_tiny_encoder())
    decoder = model.decoder
    assert isinstance(decoder, RNNDecoder)
    (batch,) = CaptionLoader(datasets(model, IMAGES)[0], batch_size=32, seed=0)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(150):
        hidden = decoder(batch.images, batch.captions, batch.lengths, batch.image_index)
        loss = F.cross_entropy(decoder.logits(hidden), packed_targets(batch.captions, batch.lengths))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5
    return model.eval()
