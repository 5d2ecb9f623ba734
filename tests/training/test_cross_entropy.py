"""The losses of a batch, against slow and obvious ways to compute the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import Cell, DecoderKind, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionDataset, CaptionLoader
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.decoder import RNNDecoder, make_decoder
from showtell.decoder.base import LockedDropout
from showtell.encoder.cnn import CNNEncoder
from showtell.training import sampling
from showtell.training.cross_entropy import CrossEntropy
from showtell.training.distributed import MeanLoss, ddp_loss_scale
from showtell.training.self_critical import CaptionReward, SelfCritical
from tests.conftest import tiny_decoder_config

TEXTS = ["a dog runs", "the big dog sleeps here", "a cat", "two boats on the water", "a boat"]
IMAGES = [
    CaptionedImage(
        Path(f"{n}.jpg"),
        tuple(TEXTS[(n + k) % 5] for k in range(1 + n % 3)),
        "train",
        str(n),
        authors=tuple("model" if (n + k) % 2 else "person" for k in range(1 + n % 3)),
        dataset="ab"[n % 2],
    )
    for n in range(7)
]
VOCABULARY = build_vocab(TEXTS, 1)
TRAINING = TrainingConfig(precision="fp32", batch_size=7)


def features(image: CaptionedImage, draw: int | None) -> Tensor:
    return torch.randn(4, 128, generator=torch.Generator().manual_seed(int(image.image_id)))


def captioner_of(encoder: CNNEncoder, kind: DecoderKind = "topdown", cell: Cell = "lstm") -> Captioner:
    torch.manual_seed(1)
    config = tiny_decoder_config(8, kind=kind, cell=cell, dropout=0.3)
    decoder = make_decoder(config, vocab_size=len(VOCABULARY), feature_dim=128, grid_cells=4)
    torch.nn.init.normal_(decoder.word_bias)
    return Captioner(encoder, decoder, VOCABULARY, "tiny")


def objective_of(
    encoder: CNNEncoder, images: Sequence[CaptionedImage], model_captions: float, smoothing: float = 0.0
) -> tuple[CrossEntropy, CaptionBatch]:
    """The loss without dropout, and a batch of all images."""
    dataset = CaptionDataset(images, VOCABULARY, features, model_captions=model_captions)
    (batch,) = CaptionLoader(dataset, batch_size=len(images), seed=0)
    config = replace(TRAINING, label_smoothing=smoothing)
    objective = CrossEntropy(captioner_of(encoder), config, dataset.caption_weights)
    objective.decoder.eval()
    return objective, batch


def loss_by_hand(
    decoder: RNNDecoder, weighted: Sequence[tuple[CaptionedImage, str, float]], smoothing: float
) -> tuple[Tensor, float]:
    """Word by word: the sum of weighted losses over that of weights, and the latter."""
    losses, total = torch.zeros(()), 0.0
    for image, caption, weight in weighted:
        state = decoder.init_state(features(image, None)[None])
        for token, following in itertools.pairwise(torch.tensor(VOCABULARY.encode(caption))):
            out = decoder.step(token.view(1, 1), state)
            state = out.state
            loss = F.cross_entropy(out.logits[0], following.view(1), label_smoothing=smoothing)
            losses, total = losses + weight * loss, total + weight
    return losses / total, total


@pytest.mark.parametrize("model_captions", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_captions_weigh_in_the_loss(
    tiny_encoder: CNNEncoder, model_captions: float, smoothing: float
) -> None:
    objective, batch = objective_of(tiny_encoder, IMAGES, model_captions, smoothing)
    loss, value, words = objective(batch, 0)
    assert float(value) == float(loss.detach()), "of one process"
    expected, weight = loss_by_hand(
        objective.decoder,
        [
            (image, caption, model_captions if author == "model" else 1.0)
            for image in IMAGES
            for caption, author in zip(image.captions, image.authors, strict=True)
        ],
        smoothing,
    )
    assert words == pytest.approx(weight)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    weights = [objective.decoder.embedding.weight, objective.decoder.word_bias]
    ours, theirs = (torch.autograd.grad(each, weights, retain_graph=True) for each in (loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_batch_without_weight_trains_nothing(tiny_encoder: CNNEncoder) -> None:
    images = [replace(image, authors=("model",) * len(image.captions)) for image in IMAGES]
    objective, batch = objective_of(tiny_encoder, images, model_captions=0.0)
    loss = objective(batch, 0).loss
    assert float(loss.detach()) == 0
    (gradient,) = torch.autograd.grad(loss, [objective.decoder.embedding.weight])
    assert not gradient.any()
    assert ddp_loss_scale(0.0) == 0


KINDS: list[tuple[DecoderKind, Cell]] = [
    ("topdown", "lstm"),
    ("topdown", "gru"),
    ("attention", "lstm"),
    ("pooled", "gru"),
]


@pytest.mark.parametrize(("kind", "cell"), KINDS)
def test_recurrent_layers_are_in_training_mode_wherever_a_loss_is_built(
    tiny_encoder: CNNEncoder, kind: DecoderKind, cell: Cell
) -> None:
    """cuDNN keeps nothing for the backward pass of layers in evaluation mode; a CPU would not notice."""
    dataset = CaptionDataset(IMAGES, VOCABULARY, features)
    loader = CaptionLoader(dataset, batch_size=len(IMAGES), seed=0)
    reward = CaptionReward([image.captions for image in IMAGES], VOCABULARY)
    captioner = captioner_of(tiny_encoder, kind, cell)
    policy = SelfCriticalConfig(epochs=1, max_length=5)
    objective = SelfCritical(captioner, TRAINING, None, policy, reward)
    captioner.decoder.train()
    built: list[str] = []

    def watch(decoder: nn.Module, *_: object) -> None:
        if torch.is_grad_enabled():
            modes = {type(m): m.training for m in decoder.modules() if isinstance(m, nn.RNNBase)}
            assert modes
            assert all(modes.values()), f"in evaluation mode where a loss is built: {modes}"
            dropping = {m.training for m in decoder.modules() if isinstance(m, LockedDropout)}
            built.append("cross-entropy" if dropping == {True} else "policy")

    captioner.decoder.register_forward_pre_hook(watch)
    (batch,) = loader
    assert isinstance(batch, CaptionBatch)
    objective(batch, 3).loss.backward()
    assert built == ["cross-entropy", "policy"], "the policy's loss is without dropout, the other with it"
    built.clear()
    CrossEntropy(captioner, TRAINING)(batch, 3).loss.backward()
    assert built == ["cross-entropy"]
    assert all(layer.training for layer in captioner.decoder.modules())


def test_dropout_comes_back_after_an_error(tiny_encoder: CNNEncoder) -> None:
    decoder = captioner_of(tiny_encoder).decoder
    decoder.train()
    dropout = [m for m in decoder.modules() if isinstance(m, LockedDropout)]
    modes: set[bool] = set()

    def fail() -> None:
        with sampling.without_dropout(decoder):
            modes.update(m.training for m in dropout)
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert modes == {False}
    assert all(m.training for m in decoder.modules())
    decoder.eval()
    with sampling.without_dropout(decoder):
        pass
    assert not any(m.training for m in decoder.modules())


def test_the_mean_loss_counts_weights() -> None:
    mean = MeanLoss()
    assert math.isnan(mean.mean())
    mean.add(2.0, 1.5)
    mean.add(4.0, 0.5)
    assert mean.mean() == 2.5
    assert mean.sums() == (5.0, 2.0)
