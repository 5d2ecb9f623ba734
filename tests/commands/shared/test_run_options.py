"""The settings of a run as options and files."""

from __future__ import annotations

from pathlib import Path

from showtell.commands.shared.parser import Parser
from showtell.commands.shared.run_options import add_run_arguments, run_settings, to_run_config
from showtell.config import RunConfig, SearchConfig


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


def test_defaults_are_those_of_the_dataclasses() -> None:
    parser = Parser("prog")
    add_run_arguments(parser)
    assert to_run_config(parser, parser.parse([])) == RunConfig()
