"""`last`: the newest run of the working directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from showtell.errors import CheckpointError
from showtell.utils.runs import newest_run, resolve_last, run_folders


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(folder: str, when: float, *files: str) -> None:
    Path(folder).mkdir(parents=True)
    for name in files:
        Path(folder, name).touch()
        os.utime(Path(folder, name), (when, when))


def test_the_newest_run_has_the_newest_model(here: Path) -> None:
    save("runs/old", 1000, "model.safetensors", "config.yaml")
    save("runs/trials/new", 3000, "model.safetensors")
    save("runs/begun", 4000, "config.yaml")
    save("runs/nothing", 5000, "notes.txt")
    assert run_folders() == [Path("runs/begun"), Path("runs/trials/new"), Path("runs/old")]
    assert newest_run() == Path("runs/trials/new"), "a run that has begun has no model yet"


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("last", "runs/a"),
        ("last,everyday", "runs/a,everyday"),
        ("everyday", "everyday"),
        ("runs/last", "runs/last"),
    ],
)
def test_last_stands_for_it(name: str, resolved: str, here: Path) -> None:
    save("runs/a", 1000, "model.safetensors")
    assert resolve_last(name) == resolved


def test_a_folder_of_that_name_counts(here: Path) -> None:
    save("runs/a", 1000, "model.safetensors")
    save("last", 1000, "model.safetensors")
    assert resolve_last("last") == "last"


def test_without_a_run_there_is_no_last(here: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last: no run with a model in runs/ here"):
        resolve_last("last")
