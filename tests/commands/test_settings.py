"""Options made from dataclasses: what becomes of types, defaults and docstrings."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest

from showtell import config
from showtell.commands.shared.logging import log_to_screen
from showtell.commands.shared.parser import Parser, suggest
from showtell.commands.shared.run_options import add_run_arguments, run_settings, to_run_config
from showtell.commands.shared.settings import add_plain_settings, add_settings, docstrings, section_of
from showtell.config import SECTIONS, RunConfig, SearchConfig
from showtell.errors import UsageError
from showtell.utils.progress import bars_hidden


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


def test_a_section_that_a_command_does_not_use_is_not_in_the_help() -> None:
    parser = Parser("prog")
    add_run_arguments(parser, unused=["decoder", "data.format"], plain=["init"])
    shown = parser.format_help()
    assert "--decoder" not in shown
    assert "recurrent" not in shown
    assert "--data.format" not in shown
    assert "--out" not in shown
    assert "--data.images" in shown
    assert to_run_config(parser, parser.parse(["--decoder.kind", "pooled"])).decoder.kind == "pooled"


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


def test_options_after_a_file_override_it(tmp_path: Path) -> None:
    parser = Parser("prog")
    add_run_arguments(parser, unused=["search"])
    file = tmp_path / "run.yaml"
    file.write_text("data: {root: [{root: a, weight: 2}, b], val_fraction: 0.2}\nsearch: {beam_size: 5}")
    args = parser.parse(["--config", str(file), "--epochs", "7", "--data.val_fraction", "0.3"])
    made = to_run_config(parser, args)
    assert [(d.root, d.weight) for d in made.data.datasets] == [("a", 2), ("b", 1)]
    assert (made.training.epochs, made.data.val_fraction, made.search) == (7, 0.3, SearchConfig(beam_size=5))
    (again := tmp_path / "again.yaml").write_text(run_settings(parser, args))
    assert to_run_config(parser, parser.parse(["--config", str(again)])) == made


def test_a_command_logs_what_it_is_asked_to_whatever_ran_before() -> None:
    quiet = logging.getLogger("showtell.training")
    quiet.setLevel(logging.ERROR)  # as `showtell tune` does
    log_to_screen(logging.INFO)
    assert quiet.isEnabledFor(logging.INFO)
    log_to_screen(logging.WARNING)
    assert not quiet.isEnabledFor(logging.INFO)
    assert bars_hidden()


def test_defaults_are_those_of_the_dataclasses() -> None:
    parser = Parser("prog")
    add_run_arguments(parser)
    assert to_run_config(parser, parser.parse([])) == RunConfig()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("--epochs", "; did you mean --a.epochs or --b.epochs?"),
        ("--a.epoch", "; did you mean --a.epochs?"),
        ("--size", "; did you mean --a.size?"),
        ("--zzz", ""),
    ],
)
def test_suggestions(name: str, hint: str) -> None:
    assert suggest(name, ["--a.epochs", "--b.epochs", "--a.size"]) == hint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{training: {epochs: null}}", "training.epochs: null is no value; leave it out, or write a whole n"),
        ("{out: null}", "out: null is no value; leave it out, or write text"),
        ("{skip_bad: null}", "skip_bad: null is no value; leave it out, or write true or false"),
        ("{cache: {views: null}}", "cache.views: null is no value"),
    ],
)
def test_a_value_that_is_left_empty_is_named_with_its_file(text: str, complaint: str, tmp_path: Path) -> None:
    parser = Parser("prog")
    add_run_arguments(parser)
    (file := tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        parser.parse(["--config", str(file)])
    assert str(caught.value).startswith(f"{file}: {complaint}")


def test_a_setting_that_may_be_empty_is(tmp_path: Path) -> None:
    parser = Parser("prog")
    add_run_arguments(parser)
    (file := tmp_path / "run.yaml").write_text("{data: {root: null, images: null}, cache: {exported: null}}")
    assert to_run_config(parser, parser.parse(["--config", str(file)])) == RunConfig()
