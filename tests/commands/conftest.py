"""Trainings of the tests of commands draw no curves."""

from __future__ import annotations

import pytest

from showtell.training import history


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves: it takes most of the time of a training that is so small."""
    monkeypatch.setattr(history, "plot_lines", lambda *_, **__: None)
