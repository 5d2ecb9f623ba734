"""Checks of configuration values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches

from showtell.config.plugins import PluginKind, plugin_names
from showtell.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Raise a ConfigError with this message if the condition is false."""
    if not condition:
        raise ConfigError(message)


def paths_to_text(section: object, *names: str) -> None:
    """Turn paths among the fields of a frozen dataclass, and in their lists, into text, as YAML has it."""
    for name in names:
        value = getattr(section, name)
        if isinstance(value, os.PathLike):
            object.__setattr__(section, name, os.fspath(value))
        elif isinstance(value, list):
            texts = [os.fspath(item) if isinstance(item, os.PathLike) else item for item in value]
            object.__setattr__(section, name, texts)


def require_known(setting: str, value: object, names: Sequence[str], plugins: PluginKind) -> None:
    """Raise a ConfigError unless a value is one of the names, or that of a plug-in that is installed."""
    if value in names:
        return
    known = [*names, *plugin_names(plugins)]
    near = get_close_matches(str(value), known, 1)
    guess = f"did you mean {near[0]}?" if near else "install the plug-in that it names"
    require(value in known, f"{setting}: {value!r} is none of {', '.join(known)}; {guess}")
