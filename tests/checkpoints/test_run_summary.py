"""The summary of a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.checkpoints.run_summary import RunSummary, read_run
from showtell.config import RunConfig
from showtell.errors import UsageError
from tests.exporting.runs import RELIABILITY, SETTINGS, write_run


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "a: ["),
        ("config.yaml", "5"),
        ("history.csv", "epoch\nfirst\n"),
        ("reliability.json", "{"),
        ("reliability.json", "[]"),
    ],
)
def test_a_damaged_file_is_named(file: str, text: str, tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match="damaged") as raised:
        read_run(tmp_path)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_the_scores_are_those_of_the_epoch_that_was_saved_last(tmp_path: Path) -> None:
    write_run(tmp_path)
    run = read_run(tmp_path)
    assert run is not None
    assert (run.epochs, run.best) == (3, 2)
    assert run.scores == {"BLEU-1": 0.5, "BLEU-4": 0.15, "CIDEr": 0.3125}
    assert run.settings == SETTINGS
    assert run.reliability == RELIABILITY
    assert run.dataset == "flickr8k"


def test_a_run_without_history_has_no_scores(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    assert read_run(tmp_path) == RunSummary({"seed": 1}, 0, 0, {})


@pytest.mark.parametrize(
    ("root", "name"),
    [
        (None, "scenes"),
        (".", Path.cwd().name),
        ("/data/coco/", "coco"),
        (["/data/coco", "photos"], "coco+photos"),
        ([{"root": "/data/coco", "repeat": 2}, {"root": "mine"}], "coco+mine"),
    ],
)
def test_the_dataset_is_named_without_its_path(root: object, name: str) -> None:
    assert RunSummary({"data": {"root": root}}, 0, 0, {}).dataset == name


@pytest.mark.parametrize(
    ("init", "name"),
    [({}, None), ({"init": "none"}, None), ({"init": "auto"}, None), ({"init": "/home/me/runs/a"}, "a")],
)
def test_the_initial_model_is_named_without_its_path(init: dict[str, str], name: str | None) -> None:
    assert RunSummary(init, 0, 0, {}).initial == name


def test_the_settings_are_those_of_a_run() -> None:
    defaults = RunConfig()
    for section, values in SETTINGS.items():
        assert hasattr(defaults, section)
        for name in values if isinstance(values, dict) else ():
            assert hasattr(getattr(defaults, section), name)
