"""Trainings that diverge are stopped, with advice, and save no useless model."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from showtell.config import TrainingConfig
from showtell.data.records import CaptionedImage
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import TrainingDivergedError
from showtell.training.divergence import check_divergence, is_diverged_loss, only_rises
from tests.training.toy import CONFIG, CRITICAL, PER_EPOCH, Features, train

LOSSES = st.floats(min_value=0.01, max_value=1e9)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf + math.inf, 1_043_094.0, 25.0])
def test_diverged_losses(loss: float) -> None:
    assert is_diverged_loss(loss, 4000)


@settings(max_examples=30)
@given(st.integers(4, 500_000), st.floats(0, 1.5))
def test_the_loss_of_an_untrained_decoder_has_not_diverged(words: int, times: float) -> None:
    assert not is_diverged_loss(times * math.log(words), words)


@settings(max_examples=30)
@given(st.lists(LOSSES, min_size=3, max_size=3))
def test_rising_is_rising_in_each_epoch(losses: list[float]) -> None:
    assert only_rises(losses) == (losses[0] < losses[1] < losses[2])
    assert not only_rises([*losses, losses[-1] + 1]), "it is looked at once"


def test_a_learning_rate_of_a_thousand_ends_in_advice_and_without_a_model(
    tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingDivergedError, match=r"after epoch 1, .*lower training.learning_rate \(1000 here"
    ):
        train(tiny_encoder, tmp_path, config=replace(CONFIG, learning_rate=1e3))
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(("patience", "epochs"), [(3, 3), (0, 4)])
def test_a_loss_that_only_rises_stops_with_advice(
    tiny_encoder: CNNEncoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
    epochs: int,
) -> None:
    monkeypatch.setattr("showtell.training.divergence.only_rises", lambda losses: len(losses) == 3)
    with caplog.at_level(logging.WARNING, "showtell.training.divergence"):
        result = train(tiny_encoder, tmp_path, config=replace(CONFIG, epochs=4, patience=patience))
    assert len(result.epochs) == epochs
    assert "has only risen" in caplog.text
    assert "Lower training.learning_rate" in caplog.text
    assert ("training is stopped" in caplog.text) == bool(patience)


def test_a_loss_that_diverges_keeps_the_best_model(
    tiny_encoder: CNNEncoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "showtell.training.divergence.is_diverged_loss", lambda loss, _: loss == seen[-1] and len(seen) > 2
    )
    seen: list[float] = []

    def look(losses: list[float], words: int, config: TrainingConfig) -> None:
        seen.append(losses[-1])
        check_divergence(losses, words, config)

    monkeypatch.setattr("showtell.training.loop.check_divergence", look)
    with caplog.at_level(logging.WARNING, "showtell.training.divergence"):
        result = train(tiny_encoder, tmp_path, config=replace(CONFIG, epochs=8))
    assert len(result.epochs) == 3
    assert (tmp_path / "model.safetensors").exists()
    assert "the best model is kept" in caplog.text


class Breaking(Features):
    """From the second epoch on, validation images are no numbers: the loss and the logits are not finite."""

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        features = super().__call__(image, draw)
        return features * math.nan if draw is None and self.calls > PER_EPOCH else features


def test_logits_that_are_not_finite_keep_the_best_model(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "showtell.training.divergence"):
        result = train(tiny_encoder, tmp_path, source=Breaking, calibrate=False)
    assert [row["saved"] for row in result.epochs] == [1, 0]
    assert math.isnan(result.epochs[1]["val_loss"])
    assert result.epochs[1]["CIDEr"] == 0
    assert "is not a finite number after epoch 2" in caplog.text


def test_a_later_stage_whose_loss_is_not_finite_ends(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"self_critical": CRITICAL, "calibrate": False}
    with caplog.at_level(logging.WARNING, "showtell.training.loop"):
        config = replace(CONFIG, epochs=1)
        result = train(tiny_encoder, tmp_path, source=Breaking, config=config, **options)
    assert [row["saved"] for row in result.epochs] == [1, 0]
    assert "self-critical is stopped" in caplog.text


class Broken(Features):
    """Validation images are no numbers from the first epoch on."""

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        features = super().__call__(image, draw)
        return features * math.nan if draw is None else features


def test_a_later_stage_alone_whose_loss_is_never_finite_saves_no_model(
    tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    config = replace(CONFIG, epochs=0)
    with pytest.raises(TrainingDivergedError, match=r"first epoch of self-critical .* no model was saved"):
        train(tiny_encoder, tmp_path, source=Broken, config=config, self_critical=CRITICAL)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_run_that_diverged_trains_no_further_when_it_is_resumed(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("showtell.training.divergence.only_rises", lambda losses: len(losses) == 3)
    config = replace(CONFIG, epochs=6, patience=4)
    assert len(train(tiny_encoder, tmp_path, config=config).epochs) == 3
    assert len(train(tiny_encoder, tmp_path, config=config, resume=True).epochs) == 3
