"""What the tests of training share."""

from __future__ import annotations

import pytest

from showtell.training import history


@pytest.fixture
def with_curves() -> None:
    """Ask for the curves of each epoch."""


@pytest.fixture(autouse=True)
def without_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves unless asked: it takes most of the time of a training that is so small."""
    if "with_curves" not in request.fixturenames:
        monkeypatch.setattr(history, "plot_lines", lambda *_, **__: None)
