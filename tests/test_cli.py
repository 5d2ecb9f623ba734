"""The commands: help, misuse, and the bad annotations of DESIGN's table through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.cli import main, run_command
from showtell.config import RunConfig
from showtell.errors import ImageError
from tests.conftest import make_snippets

CAPTIONS = ["a red dog", "a blue cat", "a green boat", "a red cat", "a blue dog", "a green cat"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    paths = make_snippets(tmp_path / "data", 6)
    lines = [{"image": p.name, "caption": c} for p, c in zip(paths, CAPTIONS, strict=True)]
    (tmp_path / "data" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "data"


def preprocess(dataset: Path, *more: str) -> int:
    settings = ["--data.root", str(dataset), "--data.min_count", "1", "--extract", "false"]
    settings += ["--data.val_fraction", "0.2", "--data.test_fraction", "0.2"]
    return run_command("preprocess", [*settings, "--report", str(dataset / "report"), *more], prog="test")


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "train a captioner" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert main(["sing"]) == 2
    assert "unknown command 'sing'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["preprocess", "train", "caption"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "--debug" in capsys.readouterr().out


def test_misuse_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--training.epochs", "0"], ["--decoder.kind", "magic"], ["--nonsense", "1"]):
        try:
            code = run_command("train", arguments, prog="test")
        except SystemExit as stop:  # the parser's own
            code = int(str(stop.code))
        error = capsys.readouterr().err
        assert code == 2, arguments
        assert "Traceback" not in error


def test_no_dataset_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", ["--data.root", "no/such/folder"], prog="test") == 2
    error = capsys.readouterr().err
    assert "no/such/folder" in error
    assert len(error.strip().splitlines()) == 1


def test_preprocess_writes_its_files(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_training_stops_at_a_bad_image_or_leaves_it_out(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = dataset / "0003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    settings = ["--data.root", str(dataset), "--data.min_count", "1", "--data.val_fraction", "0.2"]
    settings += ["--data.test_fraction", "0", "--encoder.image_size", "32", "--training.epochs", "1"]
    settings += [f"--decoder.{name}_dim=8" for name in ("embedding", "hidden", "attention")]
    settings += ["--cache.dir", str(tmp_path / "cache"), "--out", str(tmp_path / "run")]
    assert run_command("train", settings, prog="test") == 1
    assert "0003.jpg" in capsys.readouterr().err
    assert run_command("train", [*settings, "--skip-bad"], prog="test") == 0
    said = capsys.readouterr().err
    assert "1 images cannot be shown" in said
    assert "--model" in said
    assert (tmp_path / "run-2" / "model.safetensors").exists()  # the failed run was not overwritten


def test_resume_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", ["--resume", "--out", str(tmp_path / "none")], prog="test") == 1
    assert "no run to resume" in capsys.readouterr().err


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


def test_defaults_are_valid_and_errors_pickle() -> None:
    import pickle

    RunConfig()
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "truncated")))
    assert str(error) == "a.jpg: truncated"
