"""A whole training run, from annotations to a folder with a model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml

import showtell
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_summary import read_run
from showtell.cli import run_command
from showtell.config import DistillationConfig, RunConfig, TrainingConfig
from showtell.data.prepare import PreparedData
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import UsageError
from showtell.training.fit import TrainingResult
from showtell.training.run import TrainingRun, with_last_named
from tests.commands.test_evaluate import data, write_results  # noqa: F401 - a fixture
from tests.conftest import make_snippets, make_tiny_backbone, save_backbone
from tests.training.toy import initial_model


def test_from_photos_to_a_fine_tuned_model(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Captioner.load(str(tiny_model), device=torch.device("cpu"))
    whole.save(tmp_path / "start", with_encoder=True)
    paths = make_snippets(tmp_path / "data", 12)
    lines = [
        {
            "image": p.name,
            "caption": f"a {['puppy', 'cat'][i % 2]} sits",
            "split": "val" if i > 8 else "train",
        }
        for i, p in enumerate(paths)
    ]
    (tmp_path / "data" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    start, out = tmp_path / "start", tmp_path / "run"
    settings = ["--init", str(start), "--data.root", str(tmp_path / "data"), "--data.test_fraction", "0"]
    settings += ["--cache.dir", str(tmp_path / "cache"), "--out", str(out), "--training.epochs", "2"]
    settings += ["--training.logged_photos", "0"]
    assert run_command("train", settings, prog="test") == 0
    log = capsys.readouterr().err
    assert f"its {len(whole.vocabulary):,} words and 1 new ones" in log
    assert "epoch 2/2" in log
    model = Captioner.load(str(out), device=torch.device("cpu"))
    assert model.vocabulary.words == (*whole.vocabulary.words, "puppy")
    kept = yaml.safe_load((out / "config.yaml").read_text())
    assert (kept["init"], kept["data"]["min_count"]) == (str(start), 1)
    assert (kept["decoder"]["hidden_dim"], kept["encoder"]["image_size"]) == (32, 64)
    facts = read_run(out)
    assert facts is not None
    assert facts.initial == "start"
    again = ["--config", str(out / "config.yaml"), "--resume"]
    assert run_command("train", again, prog="test") == 0
    assert run_command("train", [*settings, "--decoder.hidden_dim", "64"], prog="test") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "decoder.hidden_dim is 64" in error


def test_distillation_goes_on_from_a_model_and_nothing_else_trains(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Captioner.load(str(tiny_model), device=torch.device("cpu"))
    whole.save(tmp_path / "start", with_encoder=True)
    text = " ".join([word for word in whole.vocabulary.words if word.isalpha()][:5])
    lines = [
        {"image": p.name, "caption": text, "split": "val" if i > 8 else "train"}
        for i, p in enumerate(make_snippets(tmp_path / "data", 12))
    ]
    (tmp_path / "data" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    start, out = str(tmp_path / "start"), tmp_path / "run"
    settings = ["--data.root", str(tmp_path / "data"), "--data.test_fraction", "0"]
    settings += ["--cache.dir", str(tmp_path / "cache"), "--out", str(out), "--training.logged_photos", "0"]
    settings += ["--training.epochs", "0"]
    teachers = ["--distillation.teachers", f"[{start}, {start}]", "--distillation.epochs", "2"]
    assert run_command("train", [*settings, "--init", start, *teachers], prog="test") == 0
    history = (out / "history.csv").read_text().splitlines()
    assert len(history) == 3
    assert "divergence" in history[0]
    assert "train_loss" not in history[0]
    assert Captioner.load(str(out), device=torch.device("cpu")).vocabulary == whole.vocabulary
    kept = yaml.safe_load((out / "config.yaml").read_text())
    assert kept["training"]["batch_size"] == TrainingConfig().batch_size  # not that of fine-tuning
    again = ["--config", str(out / "config.yaml"), "--resume", "--distillation.epochs", "3"]
    assert run_command("train", again, prog="test") == 0
    assert len((out / "history.csv").read_text().splitlines()) == 4
    in_python = showtell.train(resume=out)
    assert len(in_python.epochs) == 3
    assert "divergence" in str(in_python)
    kept = (out / "config.yaml").read_text()
    for options, reason in (
        (["--distillation.epochs", "1"], "this run has come to its epoch 3"),
        (["--training.epochs", "4"], "this run is past cross-entropy training, in distillation"),
    ):
        assert (
            run_command("train", ["--config", str(out / "config.yaml"), "--resume", *options], prog="test")
            == 2
        )
        assert reason in capsys.readouterr().err.strip().splitlines()[-1]
        assert (out / "config.yaml").read_text() == kept
    for options, reason in (
        (["--init", "none", *teachers], "training.epochs must be at least 1; 0 is for self_critical or"),
        (["--init", start], "training.epochs must be at least 1; 0 is for self_critical or"),
        (["--init", start, *teachers, "--cache.views", "[random-1]"], "add full to cache.views"),
        (["--init", start, *teachers, "--distillation.epochs", "0"], "takes both teachers and epochs"),
    ):
        assert run_command("train", [*settings, *options], prog="test") == 2
        assert reason in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_run_of_two_stages_prints_what_each_epoch_has(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    """The best epoch may be of the first stage."""
    values = {"val_loss": 2.0, "BLEU-4": 0.25, "CIDEr": 0.5}
    first = {"epoch": 1.0, "train_loss": 3.0, "saved": 1.0, **values}
    second = {"epoch": 2.0, "reward": 0.75, "saved": 0.0, **values}
    model = initial_model(tiny_encoder)
    prepared = PreparedData("photos", [], model.vocabulary, 1, Counter())
    run = TrainingRun(tmp_path, model, TrainingResult([first, second]), RunConfig(), prepared, 1.0)
    lines = str(run).splitlines()
    assert lines[1].split() == ["epoch", "train_loss", "reward", "val_loss", "BLEU-4", "CIDEr", "saved"]
    assert lines[-2].split() == ["1", "3.0000", "2.0000", "0.2500", "0.5000", "*"]
    assert lines[-1].split() == ["2", "0.7500", "2.0000", "0.2500", "0.5000"]


def test_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = make_snippets(tmp_path / "data", 8)
    lines = [{"image": p.name, "caption": f"a {'dog' if i % 2 else 'cat'}"} for i, p in enumerate(paths)]
    (tmp_path / "data" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = showtell.train(
        showtell.DataConfig(root=str(tmp_path / "data"), val_fraction=0.25, test_fraction=0),
        tmp_path / "run",
        init="none",
        encoder=showtell.EncoderConfig(str(save_backbone(tmp_path / "encoder", make_tiny_backbone())), 64),
        cache=showtell.CacheConfig(dir=str(tmp_path / "cache")),
        decoder=showtell.DecoderConfig(embedding_dim=8, hidden_dim=8, attention_dim=8),
        training=showtell.TrainingConfig(epochs=2, logged_photos=0),
    )
    assert run.folder == tmp_path / "run"
    assert str(run).splitlines()[1].split() == ["epoch", "train_loss", "val_loss", "BLEU-4", "CIDEr", "saved"]
    assert json.loads(json.dumps(run.to_dict()))["config"]["decoder"]["hidden_dim"] == 8
    assert run.to_pandas()["epoch"].tolist() == [1, 2]
    assert run.load()(paths[0]).words is not None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"epochs": 3}, r"no argument 'epochs'; did you mean training=showtell.TrainingConfig\(epochs=...\)"),
        ({"traning": None}, "did you mean 'training'"),
        ({"training": {"epochs": 3}}, r"training is of type dict; give training=showtell.TrainingConfig"),
        ({"data": 5}, "data is of type int"),
    ],
)
def test_mistakes_in_train_get_one_line(keywords: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        showtell.train(**keywords)  # type: ignore[arg-type]


def test_last_is_recorded_as_the_run_that_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "model.safetensors").write_bytes(b"")
    distillation = DistillationConfig(teachers=["last", "other"], epochs=1)
    config = with_last_named(RunConfig(init="last", distillation=distillation))
    assert (config.init, config.distillation.teachers) == ("runs/mine", ["runs/mine", "other"])
