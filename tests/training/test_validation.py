"""Validation: losses against those of single words, and two datasets against each alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.data.dataset import CaptionDataset, EvalLoader
from showtell.data.records import CaptionedImage
from showtell.decoder import single_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.evaluation.validation import score_captions
from showtell.training.cross_entropy import CrossEntropy
from showtell.training.validation import Validation, validate, with_means
from tests.training.test_cross_entropy import (
    IMAGES,
    TRAINING,
    VOCABULARY,
    captioner_of,
    features,
    loss_by_hand,
)

pytestmark = pytest.mark.usefixtures("on_cpu")


def validation_of(encoder: CNNEncoder, images: Sequence[CaptionedImage], batch_size: int) -> Validation:
    loader = EvalLoader(CaptionDataset(images, VOCABULARY, features), batch_size=batch_size)
    return validate(captioner_of(encoder), loader, SearchConfig(), "fp32")


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_validation_loss_is_that_of_each_dataset(tiny_encoder: CNNEncoder, batch_size: int) -> None:
    metrics = validation_of(tiny_encoder, IMAGES, batch_size).metrics
    decoder = single_decoder(captioner_of(tiny_encoder).decoder).eval()
    for name in "ab":
        alone = [image for image in IMAGES if image.dataset == name]
        weighted = [(image, caption, 1.0) for image in alone for caption in image.captions]
        with torch.no_grad():
            expected, _ = loss_by_hand(decoder, weighted, 0.0)
        assert metrics[f"val_loss/{name}"] == pytest.approx(float(expected), rel=1e-5)


def test_images_are_encoded_once_a_validation(
    tiny_encoder: CNNEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    features_of = Captioner.features

    def count(self: Captioner, images: torch.Tensor) -> torch.Tensor:
        encoded.append(len(images))
        return features_of(self, images)

    monkeypatch.setattr(Captioner, "features", count)
    validation_of(tiny_encoder, IMAGES, 3)
    assert sum(encoded) == len(IMAGES)


def test_metrics_of_two_datasets_are_those_of_each_alone(tiny_encoder: CNNEncoder) -> None:
    together = validation_of(tiny_encoder, IMAGES, 3).metrics
    single = {}
    for name in "ab":
        alone = [replace(image, dataset="") for image in IMAGES if image.dataset == name]
        validation = validation_of(tiny_encoder, alone, 2)
        single[name] = validation.metrics
        people = {image.image_id: image.captions for image in alone}
        texts = [" ".join(words) for words, _ in validation.captions]
        predicted = dict(zip(people, texts, strict=True))
        for score, value in score_captions(predicted, people).items():
            assert together[f"{score}/{name}"] == pytest.approx(value)
    for name in ("val_loss", "CIDEr", "BLEU-4"):
        values = [single[dataset][name] for dataset in "ab"]
        assert [together[f"{name}/{dataset}"] for dataset in "ab"] == pytest.approx(values, rel=1e-5)
        assert together[name] == pytest.approx(sum(values) / 2, rel=1e-5)
        assert not [key for key in single["a"] if "/" in key]
    objective = CrossEntropy(captioner_of(tiny_encoder), TRAINING)
    assert objective.monitored(together) == together["val_loss"]


def test_means() -> None:
    assert with_means({"": {"x": 2.0}}) == {"x": 2.0}
    means = with_means({"a": {"x": 1.0, "y": 4.0}, "b": {"x": 2.0, "y": math.nan}})
    assert math.isnan(means.pop("y"))
    assert math.isnan(means.pop("y/b"))
    assert means == {"x": 1.5, "x/a": 1.0, "x/b": 2.0, "y/a": 4.0}
