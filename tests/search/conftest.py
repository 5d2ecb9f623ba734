"""Both implementations of the search."""

from __future__ import annotations

import pytest

from tests.search.models import ENGINE


@pytest.fixture(params=["objects", "tensors"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A test runs with `showtell.search`, and with the search over tensors where it does the same."""
    monkeypatch.setitem(ENGINE, "name", request.param)
    return str(request.param)
