"""`showtell models`: a table of the models that are there, and the same as JSON."""

from __future__ import annotations

import json

import pytest

from showtell.checkpoints.catalog import ModelEntry
from showtell.cli import main
from showtell.commands import models as command

MODELS = [
    ModelEntry(
        "everyday",
        "included",
        data=("coco", "flickr8k"),
        scores={"coco": 0.8125, "flickr8k": 0.5},
        bytes=16_000_000,
    ),
    ModelEntry("resnet50-imagenet", "included", kind="encoder", bytes=2_000),
    ModelEntry("runs/broken", "run", problem="no model saved yet"),
    ModelEntry("runs/new", "run", data=("birds",), scores={"birds": 0.25}, bytes=70),
    ModelEntry("runs/old", "run", bytes=70),
]


def table(
    models: list[ModelEntry], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setattr(command, "list_models", lambda: models)
    assert main(["models"]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_row_for_each_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(MODELS, monkeypatch, capsys) == [
        "name where data CIDEr size",
        "everyday included coco, flickr8k 0.812, 0.500 16 MB",
        "resnet50-imagenet included encoder - - 2.0 kB",
        "runs/broken run - - 0 B no model saved yet",
        "runs/new run birds 0.250 70 B --model last",
        "runs/old run - - 70 B",
    ]


@pytest.mark.parametrize("models", [[], MODELS[:3]])
def test_without_a_trained_run_it_names_the_command_that_trains(
    models: list[ModelEntry], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, last = table(models, monkeypatch, capsys)
    assert last == "no trained run in runs/ here: python main.py trains one"


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "list_models", lambda: MODELS)
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [model.name for model in MODELS]
    assert rows[0]["scores"] == {"coco": 0.8125, "flickr8k": 0.5}
