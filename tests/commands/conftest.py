"""Runs of showtell caption with a tiny model; trainings draw no curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.training import history
from tests.commands.caption_runs import Done, Run, run_caption


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves: it takes most of the time of a training that is so small."""
    monkeypatch.setattr(history, "plot_lines", lambda *_, **__: None)


@pytest.fixture
def model(tiny_model: Path) -> Path:
    """The model that `run` takes by default."""
    return tiny_model


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `showtell caption` with arguments."""

    def call(*arguments: str | Path, model: Path = model) -> Done:
        return run_caption(model, capsys, *arguments)

    return call
