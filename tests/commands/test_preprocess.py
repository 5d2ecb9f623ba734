"""Preparing a dataset: its files, bad entries, unexpected errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.cli import run_command
from tests.commands.photo_folder import make_photo_folder


@pytest.fixture
def with_page() -> None:
    """Ask for the page of statistics, whose charts take a second."""


@pytest.fixture(autouse=True)
def without_page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no page unless asked."""
    if "with_page" not in request.fixturenames:
        monkeypatch.setattr("showtell.commands.preprocess.write_statistics_page", lambda *_: "page.html")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_photo_folder(tmp_path / "data")


def preprocess(dataset: Path, *more: str) -> int:
    settings = ["--data.root", str(dataset), "--data.min_count", "1", "--extract", "false"]
    settings += ["--data.val_fraction", "0.2", "--data.test_fraction", "0.2"]
    return run_command("preprocess", [*settings, "--report", str(dataset / "report"), *more], prog="test")


def test_quiet(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preprocess(dataset, "--quiet") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("with_page")
def test_it_writes_its_files(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preprocess(dataset) == 0
    splits = json.loads((dataset / "report" / "splits.json").read_text())
    assert {name: len(ids) for name, ids in splits.items()} == {"train": 4, "val": 1, "test": 1, "tuning": 1}
    assert "words" in (dataset / "report" / "vocabulary.json").read_text()
    assert (dataset / "report" / "statistics.html").exists()
    assert "min_count" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('{"image": "missing.jpg", "caption": "a dog"}', "missing.jpg"),
        ('{"image": "0000.jpg", "caption": "  "}', "line 7"),
        ('{"image": "0000.jpg"', "line 7"),
        ('{"image": 5, "caption": "a dog"}', "line 7"),
    ],
)
def test_bad_entries_stop_or_are_dropped_and_counted(
    dataset: Path, capsys: pytest.CaptureFixture[str], line: str, named: str
) -> None:
    file = dataset / "captions.jsonl"
    file.write_text(file.read_text() + line + "\n")
    assert preprocess(dataset) == 1
    error = capsys.readouterr().err
    assert named in error
    assert "captions.jsonl" in error
    assert "skip" in error
    assert preprocess(dataset, "--skip-bad") == 0
    assert "dropped 1" in capsys.readouterr().err


def test_unexpected_errors_are_one_line(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("showtell.commands.preprocess.prepare_data", fail)
    assert preprocess(dataset) == 1
    assert capsys.readouterr().err.strip() == (
        "error: ZeroDivisionError: oh (unexpected; run again with --debug to see where)"
    )
    assert preprocess(dataset, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_splits_name_the_images_that_are_trained_on(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {}
    for tuning in ("false", "true"):
        out = dataset.parent / tuning
        options = ("--data.tuning_fraction=0.5", f"--data.tuning={tuning}", f"--report={out}")
        assert preprocess(dataset, *options) == 0
        listed[tuning] = json.loads((out / "splits.json").read_text())
    assert listed["true"]["tuning"] == listed["true"]["train"]
    assert set(listed["false"]["tuning"]) < set(listed["false"]["train"])
