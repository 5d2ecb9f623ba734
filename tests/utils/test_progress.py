"""Progress bars are shown on a terminal, unless the log is quiet."""

from __future__ import annotations

import logging
import sys

import pytest

from showtell.utils.progress import bars_hidden


@pytest.mark.parametrize(
    ("terminal", "level", "hidden"),
    [
        (True, logging.INFO, False),
        (True, logging.DEBUG, False),
        (True, logging.WARNING, True),
        (False, logging.INFO, True),
    ],
)
def test_bars_are_hidden(terminal: bool, level: int, hidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    logging.getLogger("showtell").setLevel(level)
    assert bars_hidden() is hidden
