"""Options made from dataclasses: what becomes of types, defaults and docstrings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import pytest

from showtell import config
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.settings import add_plain_settings, add_settings, docstrings, section_of
from showtell.config import SECTIONS, RunConfig


@dataclass(frozen=True)
class Example:
    """An example. Not shown."""

    size: int = 3
    """Side of it in
    pixels."""
    kind: Literal["a", "b"] = "a"
    """`a`: this. `b`: that."""
    name: str | None = None
    loud: bool = False
    """GPU noise."""


def test_docstrings_are_read() -> None:
    assert docstrings(Example) == {
        "size": "side of it in pixels",
        "kind": "`a`: this. `b`: that",
        "loud": "GPU noise",
    }


@pytest.mark.parametrize(
    "section", [*SECTIONS.values(), RunConfig, config.ServingConfig, config.DatasetConfig]
)
def test_every_setting_is_explained(section: type) -> None:
    names = {field.name for field in fields(section)} - SECTIONS.keys()
    assert names == {name for name, text in docstrings(section).items() if len(text) > 5} - SECTIONS.keys()


def test_help_of_sections() -> None:
    parser = Parser("prog")
    add_settings(parser, Example, "ex", title="ex", hidden=["loud"], short={"size": "--ex"})
    shown = parser.format_help()
    assert "--ex, --ex.size N" in shown
    assert "side of it in pixels (default: 3)" in shown
    assert "--ex.kind a|b" in shown
    assert "loud" not in shown
    args = parser.parse(["--ex", "5", "--ex.loud", "true", "--ex.kind=b"])
    assert section_of(args, "ex", Example) == Example(5, "b", loud=True)


def test_plain_names() -> None:
    parser = Parser("prog")
    add_plain_settings(parser, Example, "ex", ["size", "kind", "loud"], defaults={"size": None})
    shown = parser.format_help()
    assert "--size N" in shown
    assert "--ex.size" not in shown
    assert vars(parser.parse([])) == {"size": None, "kind": "a", "loud": False}
    assert vars(parser.parse(["--ex.size", "4", "--loud"])) == {"size": 4, "kind": "a", "loud": True}
