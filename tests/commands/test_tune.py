"""showtell tune, through the command."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import showtell
from showtell.cli import main
from showtell.commands import tune
from showtell.config import RunConfig
from showtell.data.vocabulary import Vocabulary
from showtell.tuning.job import TuningJob
from showtell.tuning.study import finished, storage_errors
from tests.conftest import make_snippets, make_tiny_backbone, save_backbone

ROOT = Path(__file__).resolve().parents[2]
SPACE = """
training.learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}
decoder.cell: {choices: [lstm, gru]}
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a run on 40 small photos, with a tiny encoder."""
    folder = tmp_path_factory.mktemp("tune")
    with (folder / "captions.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for i, path in enumerate(make_snippets(folder / "images", 40)):
            words = f"a {['red', 'green'][i % 2]} {['dog', 'cat', 'boat'][i % 3]}"
            writer.writerows([[path.name, words], [path.name, f"{words} again"]])
    save_backbone(folder / "encoder", make_tiny_backbone())
    (folder / "space.yaml").write_text(SPACE)
    values = {
        "space": folder / "space.yaml",
        "data.root": folder / "captions.csv",
        "data.images": folder / "images",
        "data.min_count": 1,
        "data.tuning_fraction": 0.5,
        "encoder.weights": folder / "encoder",
        "encoder.image_size": 64,
        "encoder.precision": "fp32",
        "cache.dir": folder / "cache",
        "decoder.embedding_dim": 16,
        "decoder.hidden_dim": 16,
        "decoder.attention_dim": 16,
        "training.epochs": 1,
        "training.batch_size": 8,
        "training.precision": "fp32",
        "training.logged_photos": 0,
        "out": folder / "run",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def test_tune_and_train_with_the_best(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # those of the tests stay
    monkeypatch.setattr("showtell.tuning.report._charts", lambda *_: [])  # tests/tuning looks at them
    study = tmp_path / "study"
    assert main(["tune", *arguments, "--study", str(study), "--trials", "1"]) == 0
    assert "are scored on" in capsys.readouterr().err
    assert main(["tune", *arguments, "--study", str(study), "--trials", "2", "--out", "elsewhere"]) == 0
    log = capsys.readouterr().err
    assert "1 trials are done, continuing" in log
    assert "2 trials are complete" in log
    assert {path.name for path in study.iterdir()} == {"study.db", "report.html", "best.yaml", "trials"}
    kept = {path.name for path in study.glob("trials/*/*")}
    assert kept == {"history.csv"}, "models of trials are not kept"
    best = yaml.safe_load((study / "best.yaml").read_text())
    assert best["decoder"]["cell"] in ("lstm", "gru")
    assert 1e-3 <= best["training"]["learning_rate"] <= 1e-2
    assert best["out"] == "elsewhere-tuned"
    out = tmp_path / "run"
    assert main(["train", "--config", str(study / "best.yaml"), "--out", str(out)]) == 0
    trained = yaml.safe_load((out / "config.yaml").read_text())
    assert trained["training"]["learning_rate"] == best["training"]["learning_rate"]
    capsys.readouterr()
    again = ["tune", *arguments, "--study", str(study), "--trials", "4", "--training.epochs", "3"]
    assert main(again) == 2
    assert "begun with other settings" in capsys.readouterr().err


def test_trials_start_from_the_model_that_training_starts_from(
    arguments: list[str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr("showtell.tuning.report._charts", lambda *_: [])
    own = ("--data", "--cache", "--training.epochs", "--training.precision", "--training.logged", "--out")
    given = [each for each in arguments if each.startswith(own)]
    study = tmp_path / "study"
    command = ["tune", *given, "--init", str(tiny_model), "--study", str(study), "--trials", "1"]
    assert main(command) == 0
    assert "only 16 photos to train a trial on" in capsys.readouterr().err
    best = yaml.safe_load((study / "best.yaml").read_text())
    assert best["init"] == str(tiny_model)
    out = tmp_path / "run"
    assert main(["train", "--config", str(study / "best.yaml"), "--out", str(out)]) == 0
    words = showtell.load(out).vocabulary.words
    assert set(showtell.load(tiny_model).vocabulary.words) < set(words), "the model is extended"
    trained = yaml.safe_load((out / "config.yaml").read_text())
    assert trained["finetune"] == best["finetune"]
    (tmp_path / "space.yaml").write_text("decoder.cell: {choices: [lstm, gru]}")
    assert main([*command, "--space", str(tmp_path / "space.yaml")]) == 2
    assert "decoder.cell is that of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--trials", "0"], "at least 1"),
        (["--space", "missing.yaml"], "--space missing.yaml: cannot be read"),
        (["--data.tuning_fraction", "0.95"], "data.tuning_fraction 0.95 and data.val_fraction 0.1"),
        (["--storage", "no-database"], "--storage no-database"),
    ],
)
def test_misuse(
    arguments: list[str],
    more: list[str],
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tune", *arguments, "--study", str(tmp_path), *more]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_database_that_fails_during_trials_is_reported_in_one_line(
    debug: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "study.db"

    def prepare(config: RunConfig, _args: object, space: str, *_: object) -> TuningJob:
        return TuningJob(
            config=config,
            space=space,
            folder=tmp_path,
            storage=f"sqlite:///{database}",
            settings="same",
            metric="CIDEr",
            trials=1,
            threads=1,
            images=[],
            vocabulary=Vocabulary(["a"]),
            load=lambda _image: torch.zeros(()),
        )

    def lose_the_database(job: TuningJob, _processes: int) -> None:
        study = job.open_study()
        database.write_bytes(b"no database" * 1000)
        with storage_errors(job.storage):
            finished(study)

    monkeypatch.setattr(tune, "_prepare", prepare)
    monkeypatch.setattr(tune, "_run_all", lose_the_database)
    assert main(["tune", "--study", str(tmp_path), *debug]) == 1
    log = capsys.readouterr().err
    assert "the study cannot be written or read (" in log
    assert "unexpected" not in log
    assert "sqlalchemy" not in log, "a driver's traceback may have the password"
    assert log.count("error: ") == 1


@pytest.mark.slow
def test_two_processes_killed_and_continued(arguments: list[str], tmp_path: Path) -> None:
    study = tmp_path / "study"
    command = [sys.executable, "-m", "showtell.cli", "tune", *arguments, "--study", str(study)]
    command += ["--processes", "2", "--trials", "6", "--training.epochs", "4"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ}
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("trial "):
            break
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "continuing" in done.stderr
    assert (study / "report.html").is_file()
    assert "trials are complete" in done.stderr
