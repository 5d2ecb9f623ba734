"""Which model training starts from, what it decides, and the warnings where data are few."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

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
from showtell.data.vocabulary import Vocabulary
from showtell.errors import UsageError
from showtell.training import initial_model as module
from showtell.training.initial_model import AUTO_FROM_SCRATCH_IMAGES, load_initial

MINE = RunConfig(data=DataConfig(root="my_photos"))


def photos(count: int, words: int = 200) -> PreparedData:
    images = [CaptionedImage(Path(f"{i}.jpg"), ("a dog",), "train", str(i)) for i in range(count)]
    return PreparedData("mine", images, Vocabulary([f"w{i}" for i in range(words)]), 1, Counter())


@pytest.fixture
def in_the_box(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny model in place of the included one."""
    monkeypatch.setattr(module, "DEFAULT_MODEL", str(tiny_model))
    return str(tiny_model)


def test_few_photos_start_from_the_model_in_the_box(
    in_the_box: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "showtell")
    initial = load_initial(MINE, photos(AUTO_FROM_SCRATCH_IMAGES - 1))
    assert initial is not None
    assert initial.name == in_the_box
    (line,) = caplog.messages
    assert "--init none" in line
    assert load_initial(MINE, photos(AUTO_FROM_SCRATCH_IMAGES)) is None
    assert load_initial(RunConfig(), photos(10)) is None, "drawn scenes"
    assert load_initial(replace(MINE, init="none"), photos(10)) is None
    assert load_initial(replace(MINE, init=in_the_box), photos(AUTO_FROM_SCRATCH_IMAGES)) is not None


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
    settled = initial.run_config(replace(MINE, decoder=DecoderConfig(dropout=0.5)))
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


def test_captions_of_another_language_are_learned_from_scratch(
    in_the_box: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of eight words one is known: fewer than half."""
    caplog.set_level(logging.INFO, "showtell")
    images = [CaptionedImage(Path("1.jpg"), ("ein hund in rot", "ein hund auf rasen"), "train", "1")]
    data = replace(photos(10), images=images)
    assert load_initial(MINE, data) is None
    assert f"{in_the_box} knows 12 % of the words of these captions" in caplog.text
    assert load_initial(replace(MINE, init=in_the_box), data) is not None, "asked for by name"
