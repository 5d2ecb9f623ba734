"""The commands: help, misuse, and the bad annotations of DESIGN's table through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from showtell import __version__
from showtell.cli import COMMANDS, main, run_command
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


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["train", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"showtell {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        *("scale caption", "scale extract"),
        *("data list", "data check", "data get", "data prepare", "data export"),
    ],
)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([*command.split(), "--help"], ["help", *command.split()]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: showtell {command} ")
        assert "--debug" in shown
        assert "--quiet" in shown
        assert shown.partition("examples:")[2].count(f"showtell {command} ") == 2


def test_help_and_misuse_import_no_torch() -> None:
    """They are answered in a second: in a process of their own, since this one has imported it."""
    code = f"""
import sys
from showtell.cli import main
for name in {list(COMMANDS)}:
    try:
        main([name, "--help"])
    except SystemExit:
        pass
    assert main([name, "--nonsense"]) == 2
assert main(["train", "--epochs", "0"]) == 2
assert not {{"torch", "lightning_fabric", "transformers", "matplotlib", "ray"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian", "trian: no such command; did you mean train?"),
        ("help trian", "trian: no such command; did you mean train?"),
        ("--verison", "--verison: no such option; did you mean --version?"),
        ("xyz", "xyz: no such command; see showtell help"),
        ("train --training.epoch 3", "--training.epoch: no such option; did you mean --training.epochs?"),
        ("train --trainig.epochs=3", "--trainig.epochs: no such option; did you mean --training.epochs?"),
        ("train --seed 3", "--seed: no such option; did you mean --data.seed or --training.seed?"),
        ("train --nonsense", "--nonsense: no such option; see showtell train --help"),
        ("train run", "run: not expected here; options begin with --; see showtell train --help"),
        ("train --epochs many", "--epochs: 'many' is not a whole number"),
        ("train --training.epochs=many", "--training.epochs: 'many' is not a whole number"),
        ("train --epochs", "--epochs: needs a value"),
        ("train --epochs 0", "training.epochs must be at least 1"),
        (
            "train --decoder.kind topdwn",
            "--decoder.kind: 'topdwn' is none of topdown, attention, pooled; did you mean topdown?",
        ),
        ("train --data.min_count few", "--data.min_count: 'few' is not a whole number or auto"),
        ("caption --beam_size 3", "--beam_size: no such option; did you mean --beam-size?"),
        ("caption --beam-siz 3", "--beam-siz: no such option; did you mean --beam-size?"),
        ("caption --search.top_p x", "--search.top_p: 'x' is not a number"),
        ("evaluate --split tset", "--split: 'tset' is none of train, val, test, all; did you mean test?"),
        ("evaluate --java maybe", "--java: 'maybe' is not true or false"),
        ("scale", "missing: caption or extract; see showtell scale --help"),
        ("scale capton", "'capton' is none of caption, extract; did you mean caption?"),
        ("scale caption photos", "missing: --out; see showtell scale caption --help"),
        ("scale caption photos --out x --top-k y", "--top-k: 'y' is not a whole number"),
    ],
)
def test_misuse_is_one_line(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert shown.err == f"error: {message}\n"
    assert shown.out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("training: {epoch: 3}", "FILE: training.epoch: no such setting; did you mean training.epochs?"),
        ("trainig: {epochs: 3}", "FILE: trainig.epochs: no such setting; did you mean training.epochs?"),
        ("data: {format: cocoo}", "FILE: data.format: 'cocoo' is none of auto, scenes, coco, "),
        ("search: {beam_size: wide}", "FILE: search.beam_size: 'wide' is not a whole number"),
        ("cache: {views: [ful]}", "FILE: cache.views: 'ful' is not a list [A, B] of full, flip, "),
        ("data: {root: [{rot: a}]}", "data.root: a dataset has no rot, only root, format, images, weight"),
        ("training: 5", "training: 5 is no section of settings; write training: {name: value}"),
        ("training: [", "FILE: not YAML: while parsing"),
        ("- 3", "FILE: '- 3' is no setting; write name: value, or section: {name: value}"),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_mistakes_in_a_file_of_settings(
    content: str, message: str, joined: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    assert main(["train", *([f"--config={file}"] if joined else ["--config", str(file)])]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message.replace('FILE', str(file))}")
    assert error.count("\n") == 1
    assert main(["train", "--config", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err == f"error: --config {tmp_path / 'none.yaml'}: no such file\n"


def test_quiet(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preprocess(dataset, "--quiet") == 0
    assert capsys.readouterr().err == ""


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
    assert "dropped 1: photo that cannot be decoded" in said
    assert f"{tmp_path}/run holds a run already: this one goes to {tmp_path}/run-2" in said.splitlines()[0]
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
