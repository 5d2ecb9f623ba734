"""Checks of configuration values."""

from __future__ import annotations

from showtell.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Raise a ConfigError with this message if the condition is false."""
    if not condition:
        raise ConfigError(message)
