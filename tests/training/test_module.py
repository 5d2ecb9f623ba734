"""The loss of a batch and of validation, against slow and obvious ways to say the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import Cell, DecoderConfig, DecoderKind, SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionDataset, CaptionLoader, EvalLoader
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.decoder import make_decoder
from showtell.decoder.base import LockedDropout
from showtell.encoder.cnn import CNNEncoder
from showtell.evaluation.validation import score_captions
from showtell.training import module as module_file
from showtell.training import self_critical_module
from showtell.training.module import CaptionModule, share, with_means
from showtell.training.self_critical import CaptionReward
from showtell.training.self_critical_module import SelfCriticalModule

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
    config = DecoderConfig(
        kind=kind,
        cell=cell,
        embedding_dim=8,
        hidden_dim=8,
        attention_dim=8,
        attention_heads=2,
        dropout=0.3,
    )
    decoder = make_decoder(config, vocab_size=len(VOCABULARY), feature_dim=128, grid_cells=4)
    torch.nn.init.normal_(decoder.word_bias)
    return Captioner(encoder, decoder, VOCABULARY, "tiny")


def module_of(
    encoder: CNNEncoder, images: Sequence[CaptionedImage] = IMAGES, model_captions: float = 1.0
) -> CaptionModule:
    dataset = CaptionDataset(images, VOCABULARY, features, model_captions=model_captions)
    loader = CaptionLoader(dataset, batch_size=len(images), seed=0)
    made = CaptionModule(captioner_of(encoder), TRAINING, SearchConfig(), images, loader)
    return made.eval()


def loss_by_hand(
    module: CaptionModule, weighted: Sequence[tuple[CaptionedImage, str, float]], smoothing: float
) -> tuple[Tensor, float]:
    """Word by word: the sum of weighted losses over that of weights, and the latter."""
    losses, total = torch.zeros(()), 0.0
    for image, caption, weight in weighted:
        state = module.decoder.init_state(features(image, None)[None])
        for token, following in itertools.pairwise(torch.tensor(VOCABULARY.encode(caption))):
            out = module.decoder.step(token.view(1, 1), state)
            state = out.state
            loss = F.cross_entropy(out.logits[0], following.view(1), label_smoothing=smoothing)
            losses, total = losses + weight * loss, total + weight
    return losses / total, total


@pytest.mark.parametrize("model_captions", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_captions_weigh_in_the_loss(
    tiny_encoder: CNNEncoder, model_captions: float, smoothing: float
) -> None:
    module = module_of(tiny_encoder, model_captions=model_captions)
    (batch,) = module.loader
    loss, words = module.loss(batch, smoothing, module.caption_weights(batch))
    expected, weight = loss_by_hand(
        module,
        [
            (image, caption, model_captions if author == "model" else 1.0)
            for image in IMAGES
            for caption, author in zip(image.captions, image.authors, strict=True)
        ],
        smoothing,
    )
    assert words == pytest.approx(weight)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    weights = [module.decoder.embedding.weight, module.decoder.word_bias]
    ours, theirs = (torch.autograd.grad(each, weights, retain_graph=True) for each in (loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_batch_without_weight_trains_nothing(tiny_encoder: CNNEncoder) -> None:
    images = [replace(image, authors=("model",) * len(image.captions)) for image in IMAGES]
    module = module_of(tiny_encoder, images, model_captions=0.0)
    (batch,) = module.loader
    loss = module.training_step(batch, 0)
    assert float(loss.detach()) == 0
    (gradient,) = torch.autograd.grad(loss, [module.decoder.embedding.weight])
    assert not gradient.any()
    assert share(0.0) == 0


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_validation_loss_is_that_of_each_dataset(tiny_encoder: CNNEncoder, batch_size: int) -> None:
    module = module_of(tiny_encoder)
    validate(module, IMAGES, batch_size)
    assert module.datasets == ["a", "b"]
    for name in "ab":
        alone = [image for image in IMAGES if image.dataset == name]
        weighted = [(image, caption, 1.0) for image in alone for caption in image.captions]
        expected, words = loss_by_hand(module, weighted, 0.0)
        assert module.val_losses[name].words == words
        assert module.val_losses[name].mean() == pytest.approx(float(expected), rel=1e-5)


def validate(module: CaptionModule, images: Sequence[CaptionedImage], batch_size: int) -> dict[str, Any]:
    """What is logged at the end of validation."""
    logged: dict[str, Any] = {}
    module.log_dict = lambda values: logged.update(values)  # type: ignore[method-assign,assignment]
    module.on_validation_epoch_start()
    for number, batch in enumerate(
        EvalLoader(CaptionDataset(images, VOCABULARY, features), batch_size=batch_size)
    ):
        module.validation_step(batch, number)
    module.on_validation_epoch_end()
    return logged


@torch.no_grad()
def test_what_is_logged_of_two_datasets_is_that_of_each_alone(tiny_encoder: CNNEncoder) -> None:
    together = validate(module_of(tiny_encoder), IMAGES, 3)
    single = {}
    for name in "ab":
        alone = [replace(image, dataset="") for image in IMAGES if image.dataset == name]
        module = module_of(tiny_encoder, alone)
        single[name] = validate(module, alone, 2)
        people = {image.image_id: image.captions for image in alone}
        said = dict(zip(people, module.predictions, strict=True))
        for score, value in score_captions(said, people).items():
            assert together[f"{score}/{name}"] == pytest.approx(value)
    for name in ("val_loss", "CIDEr", "BLEU-4"):
        values = [single[dataset][name] for dataset in "ab"]
        assert [together[f"{name}/{dataset}"] for dataset in "ab"] == pytest.approx(values, rel=1e-5)
        assert together[name] == pytest.approx(sum(values) / 2, rel=1e-5)
        assert not [key for key in single["a"] if "/" in key]
    module = module_of(tiny_encoder)
    assert module.objective(together) == together["val_loss"]


def test_means() -> None:
    assert with_means({"": {"x": 2.0}}) == {"x": 2.0}
    found = with_means({"a": {"x": 1.0, "y": 4.0}, "b": {"x": 2.0, "y": math.nan}})
    assert math.isnan(found.pop("y"))
    assert math.isnan(found.pop("y/b"))
    assert found == {"x": 1.5, "x/a": 1.0, "x/b": 2.0, "y/a": 4.0}


KINDS: list[tuple[DecoderKind, Cell]] = [
    ("topdown", "lstm"),
    ("topdown", "gru"),
    ("attention", "lstm"),
    ("pooled", "gru"),
]


@pytest.mark.parametrize(("kind", "cell"), KINDS)
def test_recurrent_layers_are_in_training_mode_wherever_a_loss_is_built(
    tiny_encoder: CNNEncoder, monkeypatch: pytest.MonkeyPatch, kind: DecoderKind, cell: Cell
) -> None:
    """cuDNN keeps nothing for the backward pass of layers in evaluation mode; a CPU would not notice."""
    dataset = CaptionDataset(IMAGES, VOCABULARY, features)
    loader = CaptionLoader(dataset, batch_size=len(IMAGES), seed=0)
    reward = CaptionReward([image.captions for image in IMAGES], VOCABULARY)
    captioner = captioner_of(tiny_encoder, kind, cell)
    policy = SelfCriticalConfig(epochs=1, max_length=5)
    module = SelfCriticalModule(captioner, TRAINING, SearchConfig(), IMAGES, loader, policy, reward)
    module.train()
    monkeypatch.setattr(SelfCriticalModule, "global_step", 3)
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
    module.training_step(batch, 0).backward()
    assert built == ["cross-entropy", "policy"], "the policy's loss is without dropout, the other with it"
    built.clear()
    CaptionModule.training_step(module, batch, 0).backward()
    assert built == ["cross-entropy"]
    assert all(layer.training for layer in module.modules())


def test_dropout_comes_back_after_an_error(tiny_encoder: CNNEncoder) -> None:
    decoder = captioner_of(tiny_encoder).decoder
    decoder.train()
    dropout = [m for m in decoder.modules() if isinstance(m, LockedDropout)]
    modes: set[bool] = set()

    def fail() -> None:
        with self_critical_module._without_dropout(decoder):
            modes.update(m.training for m in dropout)
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert modes == {False}
    assert all(m.training for m in decoder.modules())
    decoder.eval()
    with self_critical_module._without_dropout(decoder):
        pass
    assert not any(m.training for m in decoder.modules())


def test_the_mean_loss_counts_weights() -> None:
    mean = module_file.MeanLoss()
    assert math.isnan(mean.mean())
    mean.add(2.0, 1.5)
    mean.add(4.0, 0.5)
    assert mean.mean() == 2.5
    assert mean.sums() == (5.0, 2.0)
    mean.reset()
    assert math.isnan(mean.mean())
