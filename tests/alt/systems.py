"""What other systems cannot do: exchange two files in one step, or give a file a second name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

import pytest

from showtell.alt import exchange

SYSTEMS: Final = ("one step", "hard link", "no links")
"""Linux; systems that cannot exchange two files in one step; file systems without hard links too."""


def limit(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this system one of `SYSTEMS`."""
    if system != "one step":
        monkeypatch.setattr(exchange, "_renameat2", lambda: None)
    if system == "no links":
        monkeypatch.setattr(os, "link", failing(OSError(errno.EPERM, "no links here")))


def failing(error: Exception) -> Callable[..., None]:
    """A function that takes any arguments and raises an error."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail
