"""Fixtures of the tests of the feature cache."""

from __future__ import annotations

import pytest

from showtell.features import encoding


@pytest.fixture
def several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few photos of these tests do not all go through the encoder at once."""
    monkeypatch.setattr(encoding, "BATCHES_PER_CHUNK", 1)
