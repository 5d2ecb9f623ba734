"""Which model training starts from, what it decides, and the warnings where data are few."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_summary import read_run
from showtell.cli import run_command
from showtell.config import (
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    FineTuningConfig,
    RunConfig,
    TrainingConfig,
)
from showtell.data.prepare import PreparedData
from showtell.data.records import CaptionedImage
from showtell.data.summary import warn_of_few_images
from showtell.data.vocabulary import Vocabulary
from showtell.errors import UsageError
from showtell.training import initial_model as module
from showtell.training.history import collapsed
from showtell.training.initial_model import ENOUGH_IMAGES, load_initial
from tests.conftest import make_snippets

MINE = RunConfig(data=DataConfig(root="my_photos"))


def photos(count: int, words: int = 200) -> PreparedData:
    images = [CaptionedImage(Path(f"{i}.jpg"), ("a dog",), "train", str(i)) for i in range(count)]
    return PreparedData("mine", images, Vocabulary([f"w{i}" for i in range(words)]), 1, Counter())


@pytest.fixture
def in_the_box(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny model as the one in the box."""
    monkeypatch.setattr(module, "DEFAULT_MODEL", str(tiny_model))
    return str(tiny_model)


def test_few_photos_start_from_the_model_in_the_box(
    in_the_box: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "showtell")
    initial = load_initial(MINE, photos(ENOUGH_IMAGES - 1))
    assert initial is not None
    assert initial.name == in_the_box
    (line,) = caplog.messages
    assert "--init none" in line
    assert load_initial(MINE, photos(ENOUGH_IMAGES)) is None
    assert load_initial(RunConfig(), photos(10)) is None, "drawn scenes"
    assert load_initial(replace(MINE, init="none"), photos(10)) is None
    assert load_initial(replace(MINE, init=in_the_box), photos(ENOUGH_IMAGES)) is not None


def test_without_a_model_in_the_box_training_is_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_MODEL", "no-such-model")
    assert load_initial(MINE, photos(10)) is None


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (replace(MINE, decoder=DecoderConfig(hidden_dim=512)), "decoder.hidden_dim is 512"),
        (replace(MINE, decoder=DecoderConfig(kind="pooled")), "decoder.kind is pooled"),
        (replace(MINE, encoder=EncoderConfig(image_size=320)), "encoder.image_size is 320"),
        (replace(MINE, encoder=EncoderConfig(weights="other")), "encoder.weights is other"),
    ],
)
def test_a_contradiction_is_refused_where_a_model_is_named(
    in_the_box: str, config: RunConfig, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match=f"{named}.*leave it out"):
        load_initial(replace(config, init=in_the_box), photos(10))
    caplog.set_level(logging.INFO, "showtell")
    assert load_initial(config, photos(10)) is None
    assert named in caplog.messages[0]
    assert "from scratch" in caplog.messages[0]


def test_encoder_and_decoder_are_the_models(in_the_box: str) -> None:
    initial = load_initial(MINE, photos(10))
    assert initial is not None
    settled = initial.settle(replace(MINE, decoder=DecoderConfig(dropout=0.5)))
    assert settled.init == in_the_box
    assert settled.decoder == replace(initial.decoder.config, dropout=0.5)
    assert (settled.encoder.weights, settled.encoder.image_size) == ("tiny", 64)
    assert settled.training == FineTuningConfig().applied_to(TrainingConfig())
    assert load_initial(replace(settled, data=MINE.data), photos(10)) is not None, "its own settings fit"


def test_what_is_set_wins() -> None:
    ours = FineTuningConfig()
    assert ours.applied_to(TrainingConfig()).epochs == ours.epochs
    assert ours.applied_to(TrainingConfig(epochs=3, seed=5)) == replace(
        ours.applied_to(TrainingConfig()), epochs=3, seed=5
    )
    assert FineTuningConfig(epochs=4).applied_to(TrainingConfig(epochs=3)).epochs == 4


@pytest.mark.parametrize(
    ("init", "count", "words", "said"),
    [
        ("none", 10, 200, ["learn from alone"]),
        ("none", 2_000, 99, ["a vocabulary of 99 words"]),
        ("none", 2_000, 100, []),
        ("flickr8k", 10, 50, ["the captions of flickr8k"]),
        ("flickr8k", 50, 50, []),
    ],
)
def test_warnings_of_few(
    init: str, count: int, words: int, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_few_images(photos(count, words), replace(MINE, init=init))
    assert len(caplog.messages) == len(said)
    for message, expected in zip(caplog.messages, said, strict=True):
        assert expected in message
    caplog.clear()
    warn_of_few_images(photos(count, words), replace(MINE, init=init, data=DataConfig()))
    assert not caplog.messages, "drawn scenes need few of both"


def test_collapsed() -> None:
    assert collapsed({"different": 1.0}, 5)
    assert not collapsed({"different": 2.0}, 5)
    assert not collapsed({"different": 1.0}, 1)
    assert not collapsed({}, 5)


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
    assert run_command("train", settings, prog="test") == 0
    said = capsys.readouterr().err
    assert f"its {len(whole.vocabulary):,} words and 1 new ones" in said
    assert "epoch 2/2" in said
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
