"""Distillation of several teachers, against their ensemble asked one word after the other."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderKind, DistillationConfig, SearchConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader
from showtell.data.vocabulary import build_vocab
from showtell.decoder import RNNDecoder, single_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import UsageError
from showtell.training.distillation import Distillation, _mixed, distillation_images, load_teachers
from showtell.training.fit import TrainingResult, fit
from tests.conftest import make_tiny_encoder
from tests.training.toy import CONFIG, IMAGES, PER_EPOCH, VOCABULARY, datasets, initial_model, rows, train

SETTINGS = DistillationConfig(["a"], epochs=20, learning_rate=3e-2, samples=6, max_length=6, mixup=0.2)


def teachers_of(encoder: CNNEncoder, kinds: list[DecoderKind]) -> list[RNNDecoder]:
    decoders = []
    for seed, kind in enumerate(kinds):
        decoder = single_decoder(initial_model(encoder, kind).decoder)
        torch.manual_seed(seed)
        with torch.no_grad():
            for weight in decoder.parameters():
                weight.normal_(std=0.5)
        decoders.append(decoder.eval())
    return decoders


def divergence_word_by_word(
    objective: Distillation, teachers: list[RNNDecoder], batch: CaptionBatch, step: int
) -> Tensor:
    """Mean divergence of the mean of the teachers, each with its view of each image."""
    sampled = objective._sampled(batch.images[:, 0], batch.number, step)
    people = batch.captions, batch.lengths, batch.image_index
    captions = [*zip(*sampled[:3], strict=True), *zip(*people, strict=True)]
    models = [objective.decoder, *teachers]
    divergences = []
    for caption, length, image in captions:
        states = [model.init_state(batch.images[image, view][None]) for view, model in enumerate(models)]
        for token in caption[: length - 1]:
            outputs = [
                model.step(token.view(1, 1), state) for model, state in zip(models, states, strict=True)
            ]
            states = [output.state for output in outputs]
            own, *theirs = [output.logits[0, 0].softmax(dim=0) for output in outputs]
            mean = torch.stack(theirs).mean(dim=0)
            divergences.append((mean * (mean / own).log()).sum())
    return torch.stack(divergences).mean()


@pytest.mark.parametrize("kind", ["topdown", "attention", "pooled"])
def test_the_loss_is_the_divergence_from_the_mean_of_the_teachers(
    tiny_encoder: CNNEncoder, kind: DecoderKind
) -> None:
    model = initial_model(tiny_encoder, kind)
    teachers = teachers_of(tiny_encoder, ["topdown", kind])
    images = distillation_images(datasets(model, IMAGES)[0], len(teachers))
    batch = next(iter(CaptionLoader(images, batch_size=4, seed=0)))
    assert batch.images.shape[:2] == (4, 3)
    assert not torch.equal(batch.images[:, 1], batch.images[:, 2])
    model.eval()  # no dropout
    objective = Distillation(model, CONFIG, replace(SETTINGS, mixup=0.0), copy.deepcopy(teachers))
    result = objective(batch, 3)
    expected = divergence_word_by_word(objective, teachers, batch, 3)
    torch.testing.assert_close(result.loss, expected, rtol=1e-4, atol=1e-5)
    weights = list(objective.decoder.parameters())
    ours, theirs = (torch.autograd.grad(x, weights, allow_unused=True) for x in (result.loss, expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_in_bf16_all_weights_learn(tiny_encoder: CNNEncoder) -> None:
    """Sampling, without gradients, comes first: its converted weights must not be used for the loss."""
    model = initial_model(tiny_encoder)
    images = distillation_images(datasets(model, IMAGES)[0], 1)
    objective = Distillation(model, CONFIG, SETTINGS, teachers_of(tiny_encoder, ["topdown"]))
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(next(iter(CaptionLoader(images, batch_size=8, seed=0))), 0).loss
    loss.backward()
    assert [name for name, weight in objective.decoder.named_parameters() if weight.grad is None] == []


def test_of_mixed_images_at_least_half_is_the_image_itself() -> None:
    torch.manual_seed(0)
    features = torch.arange(200.0).view(200, 1, 1, 1).expand(200, 2, 3, 4)
    assert torch.equal(_mixed(features, 0.0), features)
    mixed = _mixed(features, 0.5)
    assert torch.equal(mixed[:, 0], mixed[:, 1])  # all views in the same way
    share = 1 - (mixed - features).abs()[1:, 0, 0, 0]  # their neighbours differ by 1
    assert float(share.min()) >= 0.5
    assert 0.35 < float((share < 1).float().mean()) < 0.65


def distilled(
    folder: Path, trained: Captioner, fail_at: int | None = None, **options: object
) -> TrainingResult:
    model = initial_model(make_tiny_encoder())
    sets = datasets(model, IMAGES, fail_at)
    teachers = [copy.deepcopy(single_decoder(trained.decoder))]
    config = replace(CONFIG, epochs=0, checkpoint_minutes=0)
    settings = {"distillation": SETTINGS, "teachers": teachers, **options}
    return fit(model, sets[0], sets[1], config, SearchConfig(), folder, **settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("on_cpu")
def test_a_model_learns_what_its_teacher_knows_and_a_resumed_run_ends_the_same(
    trained: Captioner, tmp_path: Path
) -> None:
    before = copy.deepcopy(trained.decoder.state_dict())
    whole = distilled(tmp_path / "whole", trained)
    divergences = [row["divergence"] for row in whole.epochs]
    assert divergences[-1] < 0.5 * divergences[0]
    assert min(divergences) > 0
    assert whole.best["CIDEr"] > 2 * whole.epochs[0]["CIDEr"]
    assert all(torch.equal(weight, before[name]) for name, weight in trained.decoder.state_dict().items())
    with pytest.raises(RuntimeError, match="killed"):
        distilled(tmp_path / "killed", trained, fail_at=3 * (PER_EPOCH + 32) + 20)
    resumed = distilled(tmp_path / "killed", trained, resume=True)
    kept = ("epoch", "divergence", "val_loss", "CIDEr", "saved")
    assert rows(resumed, kept) == rows(whole, kept)


def test_it_follows_the_other_stages(tiny_encoder: CNNEncoder, trained: Captioner, tmp_path: Path) -> None:
    teachers = [copy.deepcopy(single_decoder(trained.decoder))]
    settings = replace(SETTINGS, epochs=1, learning_rate=1e-9)
    result = train(
        tiny_encoder, tmp_path, config=replace(CONFIG, epochs=2), distillation=settings, teachers=teachers
    )
    assert [set(row) & {"train_loss", "divergence"} for row in result.epochs] == [
        {"train_loss"},
        {"train_loss"},
        {"divergence"},
    ]
    best = min(row["val_loss"] for row in result.epochs[:2])
    assert result.epochs[2]["val_loss"] == pytest.approx(best, rel=1e-3)  # it starts from the best model


def test_teachers_of_another_kind_are_refused(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    model = initial_model(tiny_encoder)
    model.save(tmp_path / "same")
    (teacher,) = load_teachers(DistillationConfig([str(tmp_path / "same")], epochs=1), model)
    assert torch.equal(teacher.word_bias, single_decoder(model.decoder).word_bias)
    assert load_teachers(DistillationConfig(), model) == []
    for encoder, what in ((make_tiny_encoder(seed=1), "encoder"), (make_tiny_encoder(size=96), "image size")):
        other = initial_model(encoder)
        with pytest.raises(UsageError, match=f"its {what} is not that of the model"):
            load_teachers(DistillationConfig([str(tmp_path / "same")], epochs=1), other)
    other = initial_model(tiny_encoder)
    other.vocabulary = build_vocab(["another word " * 3], 1)
    assert len(other.vocabulary) != len(VOCABULARY)
    with pytest.raises(UsageError, match=r"teachers .*same: its vocabulary is not that of the model"):
        load_teachers(DistillationConfig([str(tmp_path / "same")], epochs=1), other)
