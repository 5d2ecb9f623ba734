"""Search settings by name."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict, get_type_hints

from showtell.config import SearchConfig
from showtell.errors import ConfigError
from showtell.utils.keywords import check_keyword

SAMPLING: Final = ("temperature", "top_k", "top_p", "draws", "seed")
"""Settings that have an effect only with `sample`."""
_BEAM_SEARCH: Final = ("beam_size", "diversity")
"""Settings that have no effect with `sample`."""
_TYPES: Final = get_type_hints(SearchConfig)
"""Name -> type of each setting."""


class SearchKeywords(TypedDict, total=False):
    """The fields of `SearchConfig` as keyword arguments, besides `num_captions`."""

    beam_size: int
    max_length: int
    min_length: int
    length_penalty: float
    block_ngram: int
    diversity: float
    sample: bool
    temperature: float
    top_k: int
    top_p: float
    draws: int
    seed: int


def search_config(
    given: Mapping[str, Any], *, function: str = "search_config", others: Iterable[str] = ()
) -> SearchConfig:
    """The search that some settings ask for; the others have their defaults.

    The beam is at least as wide as the number of captions. A setting that equals its default counts as not
    given.

    Args:
        given: name of a field of `SearchConfig` -> value.
        function: what takes the settings, for errors.
        others: further arguments that it takes, for suggestions.

    Raises:
        UsageError: a name is unknown.
        ConfigError: a value is of another type, out of range, or has no effect with the others.
    """
    values = {}
    for name, value in given.items():
        check_keyword(function, name, [*_TYPES, *others], {})
        values[name] = _typed(name, value, _TYPES[name])
    default = SearchConfig()
    changed = {name: value for name, value in values.items() if value != getattr(default, name)}
    sample, captions = changed.get("sample", False), changed.get("num_captions", 1)
    if changed.get("diversity") and captions == 1:
        raise ConfigError(
            "search.diversity has no effect on one caption; ask for more with search.num_captions"
        )
    for name in _BEAM_SEARCH if sample else SAMPLING:
        if name in changed:
            raise ConfigError(f"search.{name} has no effect {'with' if sample else 'without'} search.sample")
    beams = changed.get("beam_size", default.beam_size)
    if beams > 0 and not changed.get("diversity"):
        changed["beam_size"] = max(beams, captions)
    return SearchConfig(**changed)


def _typed(name: str, value: Any, kind: type) -> Any:
    """A value as `kind` (bool, int or float); NumPy's numbers are taken too."""
    is_bool = isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
    fits = {
        bool: is_bool,
        int: isinstance(value, numbers.Integral) and not is_bool,
        float: isinstance(value, numbers.Real) and not is_bool,
    }
    if not fits[kind]:
        wanted = {bool: "True or False", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"search.{name} is {value!r}; it takes {wanted}")
    return kind(value)
