"""`showtell doctor`: a line for each part of the installation, and what to do."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from showtell.checkpoints.catalog import ModelEntry
from showtell.cli import main
from showtell.commands import doctor
from showtell.utils import installation

NAMES = [
    "showtell",
    "Python",
    "PyTorch",
    "devices",
    "extras",
    "Java",
    "included",
    "your models",
    "hub cache",
    "cache",
]


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The lines by the name of what was looked at."""
    printed = capsys.readouterr().out.splitlines()
    return {name: line for name in NAMES for line in printed if line[2:].startswith(f"{name} ")}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line[2:].partition("  ")[0].strip() for line in printed] == NAMES
    assert "everyday" in printed[6]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert [check["name"] for check in json.loads(capsys.readouterr().out)] == NAMES


@pytest.mark.parametrize(
    ("package", "line", "advice"),
    [
        ("fastapi", "extras", "not: serve (fastapi): if needed, pip install 'showtell[serve]'"),
        ("pyarrow", "extras", "not: scale (pyarrow): if needed, pip install 'showtell[scale]'"),
        ("pillow-heif", "extras", "not: heif (pillow-heif): if needed, pip install 'showtell[heif]'"),
        ("matplotlib", "PyTorch", "not installed: matplotlib; install showtell again"),
    ],
)
def test_missing_packages(
    package: str, line: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name == package:
            raise PackageNotFoundError(name)
        return "10000.0"

    monkeypatch.setattr(installation, "version", version)
    assert main(["doctor"]) == 0
    shown = lines(capsys)[line]
    assert shown.startswith("! ")
    assert advice in shown


def test_an_old_package_is_named_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "version", lambda name: "0.1" if name == "optuna" else "10000.0")
    assert installation.missing_packages()["tune"] == ["optuna 0.1 (needs >=5.0)"]
    assert installation.missing_packages()[installation.BASE] == []


@pytest.mark.parametrize(
    ("models", "advice"),
    [
        ([], "everyday is missing"),
        (
            [ModelEntry("everyday", "included", problem="a pointer of Git LFS: run git lfs pull")],
            "git lfs pull",
        ),
    ],
)
def test_a_missing_model_is_broken(
    models: list[ModelEntry],
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "list_models", lambda: models)
    assert main(["doctor"]) == 1
    shown = lines(capsys)["included"]
    assert shown.startswith("x ")
    assert advice in shown


def test_a_device_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOWTELL_DEVICE", "cuda:77")
    assert main(["doctor"]) == 1
    assert "unset SHOWTELL_DEVICE" in lines(capsys)["devices"]


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_ROOM", 2**62)
    assert main(["doctor"]) == 0
    assert "free some room" in lines(capsys)["cache"]
