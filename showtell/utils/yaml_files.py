"""Read untrusted YAML: the expansion of aliases (`*name`) is bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from showtell.utils.files import read_small

MAX_VALUES: Final = 100_000
"""Values that a file may stand for, its aliases written out."""


def check_aliases(text: str) -> None:
    """See whether the aliases of a YAML text stand for a bounded number of values.

    Raises:
        yaml.YAMLError: they do not, or the text is not YAML.
    """
    if "*" not in text or "&" not in text:
        return
    try:
        size = _size(yaml.compose(text, Loader=yaml.SafeLoader), {})
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    if size > MAX_VALUES:
        raise yaml.YAMLError(f"its aliases stand for more than {MAX_VALUES:,} values")


def load_yaml(text: str) -> Any:
    """Plain values of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or its aliases stand for too much.
    """
    check_aliases(text)
    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file of bounded size.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: it is not UTF-8.
        yaml.YAMLError: it is not YAML, or its aliases stand for too much.
    """
    return load_yaml(read_small(path).decode("utf-8"))


def _size(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Values that a node stands for; more than `MAX_VALUES` for one that contains itself."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # until it is done: an alias to itself has no end
        parts = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
