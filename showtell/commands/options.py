"""Settings of a dataclass as options of a command: names, and errors that name the option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from showtell.errors import ConfigError, UsageError


def option(field: str) -> str:
    """The option that sets a field."""
    return f"--{field.replace('_', '-')}"


@contextmanager
def naming_options(section: str) -> Iterator[None]:
    """Name options instead of the fields of `section` in what a configuration complains of.

    Raises:
        UsageError: there was a ConfigError.
    """
    try:
        yield
    except ConfigError as error:
        raise UsageError(
            re.sub(rf"\b{section}\.(\w+)", lambda match: option(match[1]), str(error))
        ) from error
