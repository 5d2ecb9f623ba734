"""The arguments that `evaluate` and `report` share, as the keyword arguments of `showtell.evaluate`."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from showtell.commands.shared.evaluation_options import add_arguments, check_out, data_of, settings_of
from showtell.commands.shared.parser import Parser
from showtell.config import DataConfig
from showtell.errors import UsageError
from showtell.evaluation.run import evaluate
from showtell.evaluation.settings import EvaluationKeywords


@pytest.fixture
def parser() -> Parser:
    made = Parser("test")
    add_arguments(made)
    return made


def test_the_defaults_are_those_of_the_function(parser: Parser) -> None:
    args = parser.parse([])
    parameters = inspect.signature(evaluate).parameters
    settings = settings_of(args)
    assert settings.keys() == EvaluationKeywords.__annotations__.keys()
    differing = {name for name, value in settings.items() if value != parameters[name].default}
    assert differing == {"device"}, "auto, which stands for None"
    assert args.model == parameters["model"].default
    assert data_of(args) is None


def test_every_option_reaches_its_keyword(parser: Parser) -> None:
    values = {
        "predictions": "a.json",
        "against": "b.csv",
        "split": "test",
        "references": "all",
        "segmentation": "characters",
        "instances": "c.json",
        "beam_size": 5,
        "num_captions": 2,
        "java": False,
        "image_size": 96,
        "runtime": "onnx",
        "device": "cpu",
        "cache": "elsewhere",
    }
    given = [
        f"--{name.replace('_', '-')}={str(value).lower() if value is False else value}"
        for name, value in values.items()
    ]
    assert settings_of(parser.parse([*given, "--skip-bad"])) == values | {"skip_bad": True}


def test_a_dataset_with_its_format_and_images(parser: Parser) -> None:
    args = parser.parse(["--data", "mine.json", "--data.format", "coco", "--images", "photos"])
    assert data_of(args) == DataConfig(root="mine.json", format="coco", images="photos")


def test_a_place_that_cannot_be_written_is_refused_first(parser: Parser, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_out(parser.parse(["--out", str(tmp_path / "new")]))
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="cannot be written"):
        check_out(parser.parse(["--out", str(tmp_path / "file" / "out")]))
