"""Errors for unknown keyword arguments, each with a suggestion."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from showtell.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """`; did you mean 'beam_size'?` if one of the choices is close to `name`, else an empty string."""
    close = difflib.get_close_matches(name, sorted(choices), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def did_you_mean_path(name: str, choices: Iterable[str]) -> str:
    """As `did_you_mean`, also by the last part of a path alone: `runs/mine` for `mine` or `mien`."""
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    last = name.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    lasts = {each.rpartition("/")[2]: each for each in reversed(known)}
    close = close or [lasts[each] for each in difflib.get_close_matches(last, lasts, n=1, cutoff=0.75)]
    return f"; did you mean {close[0]}?" if close else ""


def check_keyword(function: str, name: str, known: Iterable[str], hints: Mapping[str, str]) -> None:
    """Check that a function takes a keyword argument.

    Args:
        function: its name, for the message.
        name: of the argument.
        known: names that the function takes.
        hints: name of something that is no argument -> how it is given.

    Raises:
        UsageError: it does not.
    """
    known = list(known)
    if name in known:
        return
    suggestion = did_you_mean(name, known)
    if hint := hints.get(name):
        suggestion = f"; did you mean {hint}?"
    help_text = suggestion or f": it takes {', '.join(known)}"
    raise UsageError(f"{function}() has no argument {name!r}{help_text}")


def suggests_keywords(
    hints: Callable[[], Mapping[str, str]] = dict,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that calling it with an unknown keyword raises a UsageError with a suggestion.

    Args:
        hints: makes the hints of `check_keyword`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = list(inspect.signature(function).parameters)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                check_keyword(function.__name__, name, known, hints())
            return function(*args, **kwargs)

        return checked

    return decorate
