"""Training from end to end, on random features: files, the saved model, resuming, self-critical training."""

from __future__ import annotations

import csv
import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.config import DistillationConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset
from showtell.data.records import CaptionedImage
from showtell.decoder import single_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, ConfigError, WriteError
from showtell.training.cross_entropy import CrossEntropy
from showtell.training.finetuning import Retention
from tests.conftest import make_tiny_encoder
from tests.training.conftest import FinishedRun
from tests.training.toy import (
    CONFIG,
    CRITICAL,
    IMAGES,
    PER_EPOCH,
    VOCABULARY,
    Features,
    initial_model,
    losses,
    rows,
    train,
)


def load(folder: Path) -> Captioner:
    return Captioner.load(str(folder), device=torch.device("cpu"))


def test_training_lowers_the_loss_and_writes_its_files(
    whole_run: FinishedRun, tiny_encoder: CNNEncoder
) -> None:
    result, folder = whole_run.result, whole_run.folder
    first, *_, last = losses(result)
    assert last[0] < first[0]
    assert last[1] < first[1]
    assert result.best_loss == min(loss for _, loss in losses(result))
    history = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [float(row["epoch"]) for row in history] == [1, 2, 3]
    assert {"loss.png", "scores.png", CHECKPOINT, "model.safetensors"} <= {p.name for p in folder.iterdir()}
    assert list((folder / "tensorboard").glob("events*"))
    saved = load(folder).encoder.state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in tiny_encoder.state_dict().items())


@pytest.mark.usefixtures("on_cpu")
def test_saved_model_is_the_one_of_the_lowest_validation_loss(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CrossEntropy, "lr_factor", lambda _, step, steps: 1 if step < steps / 2 else 100)
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=0.01, patience=0, precision="fp32")
    result = train(tiny_encoder, tmp_path, config=config)
    assert [row["saved"] for row in result.epochs] == [1, 0], "else this test shows nothing"
    model = load(tmp_path)
    source = Features(tiny_encoder.grid_cells, tiny_encoder.feature_dim)
    val = CaptionDataset([i for i in IMAGES if i.split == "val"], VOCABULARY, source)
    total = words = 0.0
    model.requires_grad_(False)
    for image, captions in val:  # independently: one caption at a time, step by step
        for caption in captions:
            state = model.decoder.init_state(image.float()[None])
            for token, following in itertools.pairwise(caption):
                out = model.decoder.step(token.view(1, 1), state)
                state = out.state
                total -= float(out.logits[0, 0].log_softmax(0)[following])
                words += 1
    assert total / words == pytest.approx(result.best_loss, rel=1e-4)


@pytest.mark.parametrize("fail_at", [1 + PER_EPOCH + 3, 2 * PER_EPOCH + 17, 2 * PER_EPOCH + 35])
@pytest.mark.usefixtures("on_cpu")
def test_a_resumed_run_ends_with_the_same_losses_and_weights(
    whole_run: FinishedRun, tiny_encoder: CNNEncoder, tmp_path: Path, fail_at: int
) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny_encoder, tmp_path, fail_at, config=replace(CONFIG, checkpoint_minutes=0))
    resumed = train(tiny_encoder, tmp_path, resume=True)
    assert losses(resumed) == losses(whole_run.result)
    assert resumed.best_loss == whole_run.result.best_loss
    ours, theirs = load(tmp_path).state_dict(), load(whole_run.folder).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_self_critical_training_raises_the_reward(whole_critical_run: FinishedRun) -> None:
    result = whole_critical_run.result
    first, rewards = result.epochs[:2], [row["reward"] for row in result.epochs[2:]]
    assert all("train_loss" in row for row in first)
    assert [row["epoch"] for row in result.epochs] == list(range(1, 9))
    assert sum(rewards[-3:]) > 1.1 * sum(rewards[:3])
    start = next(row for row in reversed(first) if row["saved"])
    assert result.best["CIDEr"] >= start["CIDEr"]
    history = list(csv.DictReader((whole_critical_run.folder / "history.csv").read_text().splitlines()))
    assert float(history[-1]["reward"]) == pytest.approx(rewards[-1])
    assert history[-1]["train_loss"] == ""


@pytest.mark.parametrize("epoch", [1, 5])
@pytest.mark.usefixtures("on_cpu")
def test_a_resumed_self_critical_run_ends_the_same(
    whole_critical_run: FinishedRun, tiny_encoder: CNNEncoder, tmp_path: Path, epoch: int
) -> None:
    config = replace(CONFIG, epochs=2)
    with pytest.raises(RuntimeError, match="killed"):
        train(
            tiny_encoder,
            tmp_path,
            epoch * PER_EPOCH + 20,
            config=replace(config, checkpoint_minutes=0),
            self_critical=CRITICAL,
        )
    resumed = train(tiny_encoder, tmp_path, resume=True, config=config, self_critical=CRITICAL)
    kept = ("epoch", "train_loss", "reward", "val_loss", "CIDEr", "saved")
    assert rows(resumed, kept) == rows(whole_critical_run.result, kept)


def test_of_two_datasets_the_mean_decides(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    two = [replace(image, dataset="ab"[int(image.image_id) % 2]) for image in IMAGES]
    result = train(tiny_encoder, tmp_path, images=two, self_critical=replace(CRITICAL, epochs=1))
    for row in result.epochs:
        for name in ("val_loss", "CIDEr", "BLEU-4"):
            assert row[name] == pytest.approx((row[f"{name}/a"] + row[f"{name}/b"]) / 2, rel=1e-5)
    cross_entropy = result.epochs[:3]
    lowest = [min(row["val_loss"] for row in cross_entropy[: n + 1]) for n in range(3)]
    assert [bool(row["saved"]) for row in cross_entropy] == [
        row["val_loss"] == low for row, low in zip(cross_entropy, lowest, strict=True)
    ]
    header = (tmp_path / "history.csv").read_text().splitlines()[0].split(",")
    wanted = [f"{name}{of}" for of in ("", "/a", "/b") for name in ("val_loss", "BLEU-4", "CIDEr")]
    assert [name for name in header if name in wanted] == wanted
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    grouped = [f"{name}{of}" for of in ("", "/a", "/b") for name in ("loss/validation", "scores/CIDEr")]
    assert set(grouped) <= set(events.Tags()["scalars"])


def few_references() -> list[CaptionedImage]:
    """The images; of every fourth one a model wrote the second caption."""
    return [
        replace(image, authors=("person", "model")) if int(image.image_id) % 4 == 0 else image
        for image in IMAGES
    ]


def test_images_with_few_references_are_left_out_of_self_critical_training(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A resumed run leaves out the same ones, and numbers the others as before."""
    calls: list[str] = []

    class Recording(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            calls.append(image.image_id)
            return super().__call__(image, draw)

    options = {
        "images": few_references(),
        "config": replace(CONFIG, epochs=1, checkpoint_minutes=0),
        "self_critical": replace(CRITICAL, epochs=2, min_references=2),
        "calibrate": False,
    }
    with caplog.at_level("INFO", "showtell.training.fit"):
        whole = train(tiny_encoder, tmp_path / "whole", source=Recording, **options)
    assert "leaves out 8 of 32 images: fewer than 2 captions" in caplog.text
    trained = Counter(calls[PER_EPOCH : PER_EPOCH + 24])
    assert trained == Counter(str(n) for n in range(32) if n % 4)
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny_encoder, tmp_path / "killed", 2 * PER_EPOCH + 10, **options)
    resumed = train(tiny_encoder, tmp_path / "killed", resume=True, **options)
    kept = ("epoch", "reward", "val_loss", "CIDEr", "saved")
    assert rows(resumed, kept) == rows(whole, kept)


def test_what_is_wrong_with_a_later_stage_shows_before_training(
    tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="has 9 captions to compare with"):
        train(tiny_encoder, tmp_path, self_critical=replace(CRITICAL, min_references=9))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("on_cpu")
def test_a_run_in_a_later_stage_cannot_be_resumed_without_it(
    tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    options = {"config": replace(CONFIG, epochs=1), "calibrate": False}
    train(tiny_encoder, tmp_path, **options, self_critical=replace(CRITICAL, epochs=2))
    shorter = replace(CRITICAL, epochs=1)
    with pytest.raises(ConfigError, match=r"self_critical\.epochs 1: .* come to its epoch 2"):
        train(tiny_encoder, tmp_path, **options, resume=True, self_critical=shorter)
    with pytest.raises(ConfigError, match=r"in self-critical training, .* run's own self_critical\.epochs$"):
        train(tiny_encoder, tmp_path, **options, resume=True)


@pytest.mark.usefixtures("on_cpu")
def test_a_checkpoint_of_an_unknown_stage_is_damaged(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    train(tiny_encoder, tmp_path, config=replace(CONFIG, epochs=1), calibrate=False)
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    torch.save(content | {"stage": "dreaming"}, tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match="no stage of training 'dreaming'"):
        train(tiny_encoder, tmp_path, resume=True)


def test_captions_of_a_model_count_as_references_where_asked_for(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"images": few_references(), "config": replace(CONFIG, epochs=1), "calibrate": False}
    policy = replace(CRITICAL, epochs=1, samples=2, min_references=2, references="all")
    with caplog.at_level("INFO", "showtell.training.fit"):
        train(tiny_encoder, tmp_path / "all", **options, self_critical=policy)
    assert "leaves out" not in caplog.text
    options["self_critical"] = replace(policy, min_references=3)
    with pytest.raises(ConfigError, match=r"has 3 captions to compare with; lower self_critical\.min"):
        train(tiny_encoder, tmp_path / "none", **options)


def test_an_encoder_in_bf16_trains_a_decoder_in_fp32(tmp_path: Path) -> None:
    encoder = make_tiny_encoder(precision="bf16")
    model = initial_model(encoder)
    result = train(
        encoder,
        tmp_path,
        config=replace(CONFIG, epochs=1),
        self_critical=replace(CRITICAL, epochs=1),
        distillation=DistillationConfig(teachers=["it"], epochs=1),
        teachers=[single_decoder(model.decoder)],
        retention=Retention(single_decoder(model.decoder), 0.3, 0.6),
    )
    assert len(result.epochs) == 3
    assert all(math.isfinite(row["val_loss"]) for row in result.epochs)


@pytest.mark.usefixtures("on_cpu")
def test_a_later_stage_that_fails_after_its_first_model_starts_again_where_it_started(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "config": replace(CONFIG, epochs=1),
        "self_critical": replace(CRITICAL, epochs=2),
        "calibrate": False,
    }
    names = ("reward", "CIDEr", "saved")
    expected = rows(train(tiny_encoder, tmp_path / "whole", **options), names)
    assert expected[1]["saved"] == 1

    def full(history: list[dict[str, float]], folder: Path) -> None:
        if len(history) > 1:
            raise WriteError(str(folder), "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("showtell.training.loop.write_history", full)
        with pytest.raises(WriteError):
            train(tiny_encoder, tmp_path / "full", **options)
    assert rows(train(tiny_encoder, tmp_path / "full", resume=True, **options), names) == expected


@pytest.mark.parametrize("weight", [0.1, 2.0])
def test_how_many_images_a_batch_has_follows_from_the_weights(
    weight: float, tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    images = [replace(image, weight=weight) for image in IMAGES]
    result = train(tiny_encoder, tmp_path, images=images, config=replace(CONFIG, epochs=1, batch_size=1))
    assert len(result.epochs) == 1
