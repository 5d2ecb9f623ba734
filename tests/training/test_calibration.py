"""Calibration as the last step of training, on the captions of the best epoch's validation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.captioning.generate import generate_captions
from showtell.config import SearchConfig
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import StepDecoder
from showtell.encoder.cnn import CNNEncoder
from showtell.training import validation
from showtell.training.calibration import calibrate_model
from showtell.training.validation import Predicted
from tests.training.toy import CONFIG, IMAGES, Features, initial_model, train


def load(folder: Path) -> Captioner:
    return Captioner.load(str(folder), device=torch.device("cpu"))


def test_the_confidence_of_the_best_model_is_calibrated(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the captions of its validation: they are not searched again, and no model is loaded."""
    searched = []

    def search(decoder: StepDecoder, vocabulary: Vocabulary, features: Tensor, config: SearchConfig) -> Any:
        searched.append(len(features))
        return generate_captions(decoder, vocabulary, features, config)

    val = [replace(IMAGES[i % 32], split="val", image_id=str(i % 32)) for i in range(60)]
    config = replace(CONFIG, epochs=2, batch_size=32)
    with monkeypatch.context() as patch:
        patch.setattr(validation, "generate_captions", search)
        patch.setattr(Captioner, "load", None)
        train(tiny_encoder, tmp_path, images=[*IMAGES[:32], *val], config=config)
    assert sum(searched) == 60 * config.epochs
    model = load(tmp_path)
    assert model.calibration is not None
    assert (tmp_path / "reliability.png").is_file()
    source = Features(tiny_encoder.grid_cells, tiny_encoder.feature_dim)
    features = torch.stack([source(image, None) for image in val]).to(model.encoder.dtype)
    right = predicted = 0.0
    for image, (caption,) in zip(val, model.caption_features(features), strict=True):
        words = {word for text in image.captions for word in text.split()}
        right += sum(word in words for word in caption.words)
        assert caption.word_confidences is not None
        predicted += sum(caption.word_confidences)
    assert predicted == pytest.approx(right, rel=0.02)


def predictions(images: list[CaptionedImage], seed: int = 0) -> list[Predicted]:
    """The first caption of each image; of a third of them with another, unlikely noun."""
    random = np.random.default_rng(seed)
    predicted: list[Predicted] = []
    for image in images:
        words, wrong = image.captions[0].split(), random.random() < 1 / 3
        if wrong:
            words[1] = "zebra"
        log_probs = -random.exponential(2.0 if wrong else 0.2, len(words) + 1)
        predicted.append((tuple(words), tuple(log_probs.tolist())))
    return predicted


def of_dataset(name: str, size: int) -> list[CaptionedImage]:
    return [replace(IMAGES[i % 32], split="val", image_id=str(i), dataset=name) for i in range(size)]


def test_too_few_images_leave_the_model_as_it_was(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "showtell.training.calibration")
    images, model = of_dataset("", 20), initial_model(tiny_encoder)
    assert calibrate_model(model, tmp_path, predictions(images), images) == {}
    assert model.calibration is None
    assert list(tmp_path.iterdir()) == []
    assert "raise data.val_fraction, or add captions" in caplog.text


def test_confidence_is_checked_on_each_dataset(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [*of_dataset("first", 60), *of_dataset("second", 80), *of_dataset("small", 10)]
    predicted, model = predictions(images), initial_model(tiny_encoder)
    caplog.set_level("INFO", "showtell.training.calibration")
    reliability = calibrate_model(model, tmp_path, predicted, images)
    assert load(tmp_path).calibration == model.calibration is not None
    kept = json.loads((tmp_path / "reliability.json").read_text())
    assert kept["doubtful_below"] == model.calibration.doubtful is not None
    sizes = {name: parts["captions"]["number"] for name, parts in kept["datasets"].items()}
    assert sizes == {"first": 60, "second": 80}
    for name, parts in kept["datasets"].items():
        captions, words = parts["captions"], parts["words"]
        own = [words for (words, _), image in zip(predicted, images, strict=True) if image.dataset == name]
        assert words["right"] == pytest.approx(1 - sum("zebra" in each for each in own) / (3 * len(own)))
        assert len(words["bins"]) == 10
        assert captions["calibration_error"] < 0.2, "the likely captions are the right ones"
        assert captions["doubtful_precision"] == reliability[name]["captions"].doubtful_precision > 0.5
        assert f"Confidence on {name}: {100 * captions['right']:.0f} % of captions are good" in caplog.text
    assert "Confidence is calibrated without small: fewer than 50 images have two captions" in caplog.text


def test_captions_by_people_of_the_same_dataset_decide_what_is_right(
    tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    """A word that only a model used of an image is wrong."""
    images = [
        replace(image, captions=(*image.captions, "a zebra"), authors=("person", "person", "model"))
        for image in of_dataset("", 60)
    ]
    predicted = predictions(images)
    measured = calibrate_model(initial_model(tiny_encoder), tmp_path, predicted, images)
    wrong = sum("zebra" in words for words, _ in predicted)
    assert int((~measured[""]["words"].labels.astype(bool)).sum()) == wrong > 0
