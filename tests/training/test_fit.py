"""Training from end to end, on random features: files, resuming, stopping."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from showtell.captioning.captioner import Captioner, generate_captions
from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.config import DecoderConfig, SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import Vocabulary, build_vocab
from showtell.decoder import StepDecoder, make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, ConfigError
from showtell.training import loop, validation
from showtell.training.checkpointing import InterruptedTrainingError
from showtell.training.fit import TrainingResult, fit
from showtell.utils.gpu_memory import MIB, MemoryByStage
from tests.utils.test_gpu_memory import FakeGpu

NOUNS = ["dog", "cat", "ball", "boy"]
VERBS = ["runs", "sits", "jumps", "sleeps"]
IMAGES = [
    CaptionedImage(
        Path(f"{i}.jpg"),
        (f"a {NOUNS[i % 4]} {VERBS[i // 4 % 4]}", f"the {NOUNS[i % 4]} {VERBS[i // 4 % 4]} here"),
        "train" if i < 32 else "val",
        str(i),
    )
    for i in range(40)
]
VOCABULARY = build_vocab([c for image in IMAGES for c in image.captions], 1)
CONFIG = TrainingConfig(epochs=3, batch_size=8, learning_rate=5e-3, patience=0, precision="fp32")


class Features:
    """Features that show the noun and the verb; `fail_at` is the call at which loading dies."""

    def __init__(self, cells: int, dim: int, fail_at: int | None = None) -> None:
        self.cells, self.dim, self.fail_at, self.calls = cells, dim, fail_at, 0

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("killed")
        number = int(image.image_id)
        noise = torch.Generator().manual_seed(number if draw is None else draw)
        features = 0.1 * torch.randn(self.cells, self.dim, generator=noise)
        features[0, number % 4] += 2
        features[1, 4 + number // 4 % 4] += 2
        return features


def train(encoder: CNNEncoder, folder: Path, fail_at: int | None = None, **options: object) -> TrainingResult:
    torch.manual_seed(0)
    decoder = make_decoder(
        DecoderConfig(embedding_dim=16, hidden_dim=16, attention_dim=16, dropout=0.3),
        vocab_size=len(VOCABULARY),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    source: type[Features] = options.pop("source", Features)  # type: ignore[assignment]
    load = source(encoder.grid_cells, encoder.feature_dim, fail_at)
    images = options.pop("images", IMAGES)
    sets = [CaptionDataset([i for i in images if i.split == s], VOCABULARY, load) for s in ("train", "val")]
    captioner = Captioner(encoder, decoder, VOCABULARY, "tiny")
    config = options.pop("config", CONFIG)
    return fit(captioner, *sets, config, SearchConfig(), folder, **options)  # type: ignore[arg-type]


def losses(result: TrainingResult) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["val_loss"]) for row in result.epochs]


@pytest.mark.usefixtures("with_curves")
def test_training_lowers_the_loss_and_writes_its_files(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_encoder.state_dict().items()}
    result = train(tiny_encoder, tmp_path)
    first, *_, last = losses(result)
    assert last[0] < first[0]
    assert last[1] < first[1]
    assert result.best_loss == min(loss for _, loss in losses(result))
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_encoder.state_dict().items())
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3]
    assert {"loss.png", "scores.png", CHECKPOINT, "model.safetensors"} <= {p.name for p in tmp_path.iterdir()}
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_free_memory_is_given_back_while_training(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = []
    monkeypatch.setattr(loop, "malloc_trim", lambda: given_back.append(True))
    monkeypatch.setattr(loop, "TRIM_EVERY_SECONDS", 1000.0)
    train(tiny_encoder, tmp_path / "seldom")
    assert not given_back
    monkeypatch.setattr(loop, "TRIM_EVERY_SECONDS", 0.0)
    train(tiny_encoder, tmp_path / "always")
    assert len(given_back) == CONFIG.epochs * 32 / CONFIG.batch_size


def test_the_confidence_of_the_best_model_is_calibrated(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the captions of its validation: they are not searched again, and no model is loaded."""
    searched = []

    def search(decoder: StepDecoder, vocabulary: Vocabulary, features: Tensor, config: SearchConfig) -> Any:
        searched.append(len(features))
        return generate_captions(decoder, vocabulary, features, config)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "generate_captions", search)
        patch.setattr(Captioner, "load", None)
        train(tiny_encoder, tmp_path / "few")
    assert searched == [8] * CONFIG.epochs
    assert Captioner.load(str(tmp_path / "few")).calibration is None, "8 validation images are too few"
    assert not (tmp_path / "few" / "reliability.png").exists()
    many = [replace(IMAGES[i % 32], split="val", image_id=str(i % 32)) for i in range(60)]
    train(tiny_encoder, tmp_path / "many", images=[*IMAGES[:32], *many])
    model = Captioner.load(str(tmp_path / "many"), device=torch.device("cpu"))
    assert model.calibration is not None
    assert (tmp_path / "many" / "reliability.png").is_file()
    load = Features(tiny_encoder.grid_cells, tiny_encoder.feature_dim)
    right = predicted = 0.0
    for image in many:
        (caption,) = model.caption_features(load(image, None)[None].to(model.encoder.dtype))[0]
        words = {word for text in image.captions for word in text.split()}
        right += sum(word in words for word in caption.words)
        assert caption.word_confidences is not None
        predicted += sum(caption.word_confidences)
    assert predicted == pytest.approx(right, rel=0.02)


def test_confidence_is_checked_on_each_dataset(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {"first": 60, "second": 80, "small": 10}
    val = [
        replace(IMAGES[i % 32], split="val", image_id=str(i % 32), dataset=name)
        for name, size in sizes.items()
        for i in range(size)
    ]
    caplog.set_level("INFO", "showtell.training.calibration")
    train(tiny_encoder, tmp_path, images=[*IMAGES[:32], *val])
    model = Captioner.load(str(tmp_path), device=torch.device("cpu"))
    kept = json.loads((tmp_path / "reliability.json").read_text())
    assert model.calibration is not None
    assert kept["doubtful_below"] == model.calibration.doubtful
    assert {name: parts["captions"]["number"] for name, parts in kept["datasets"].items()} == {
        "first": 60,
        "second": 80,
    }
    for name, parts in kept["datasets"].items():
        captions = parts["captions"]
        assert 0 <= captions["calibration_error"] < 0.5
        assert (captions["doubtful_precision"] is None) == (captions["doubtful"] == 0)
        assert f"Confidence on {name}: {100 * captions['right']:.0f} % of captions are good" in caplog.text
        assert len(parts["words"]["bins"]) == 10
    assert "Confidence is calibrated without small: fewer than 50 images have two captions" in caplog.text


def test_saved_model_is_the_one_of_the_lowest_validation_loss(
    tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    high = TrainingConfig(epochs=6, batch_size=8, learning_rate=0.5, patience=0, precision="fp32", warmup=0)
    result = train(tiny_encoder, tmp_path, config=high)
    model = Captioner.load(str(tmp_path), device=torch.device("cpu"))
    load = Features(tiny_encoder.grid_cells, tiny_encoder.feature_dim)
    val = CaptionDataset([i for i in IMAGES if i.split == "val"], VOCABULARY, load)
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


@pytest.mark.parametrize("fail_at", [1 + 32 + 8 + 3, 2 * (32 + 8) + 17, 2 * (32 + 8) + 35])
@pytest.mark.usefixtures("on_cpu")
def test_resumed_run_ends_with_the_same_losses(
    tiny_encoder: CNNEncoder, tmp_path: Path, fail_at: int
) -> None:
    whole = train(tiny_encoder, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny_encoder, tmp_path / "killed", fail_at, config=replace(CONFIG, checkpoint_minutes=0))
    resumed = train(tiny_encoder, tmp_path / "killed", resume=True)
    assert losses(resumed) == losses(whole)
    assert resumed.best_loss == whole.best_loss
    ours, theirs = (Captioner.load(str(tmp_path / name)).state_dict() for name in ("killed", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.usefixtures("on_cpu")
def test_asked_to_stop_it_saves_and_goes_on_later(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    whole = train(tiny_encoder, tmp_path / "whole")

    class Stopping(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            if self.calls == 50:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(image, draw)

    original = globals()["Features"]
    globals()["Features"] = Stopping
    try:
        with pytest.raises(InterruptedTrainingError, match="--resume"):
            train(tiny_encoder, tmp_path / "stopped")
    finally:
        globals()["Features"] = original
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert losses(train(tiny_encoder, tmp_path / "stopped", resume=True)) == losses(whole)


def test_early_stopping(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    hopeless = TrainingConfig(epochs=30, batch_size=8, learning_rate=0.4, patience=1, precision="fp32")
    stopped = train(tiny_encoder, tmp_path, config=hopeless)
    assert len(stopped.epochs) < 30
    assert not stopped.epochs[-1]["saved"]
    assert train(tiny_encoder, tmp_path, config=hopeless, resume=True).epochs == stopped.epochs


def test_nothing_to_resume(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(tiny_encoder, tmp_path, resume=True)


def test_damaged_checkpoint_is_refused_and_kept(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    train(tiny_encoder, tmp_path)
    path = tmp_path / CHECKPOINT
    damaged = path.read_bytes()[:-1000]
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        train(tiny_encoder, tmp_path, resume=True)
    assert path.read_bytes() == damaged


def test_a_checkpoint_of_an_earlier_showtell_gets_one_line(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    torch.save({"pytorch-lightning_version": "2.6.6", "epoch": 1, "showtell": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match=r"written by an earlier showtell, .* --init ") as raised:
        train(tiny_encoder, tmp_path, resume=True)
    assert "\n" not in str(raised.value)


CRITICAL = SelfCriticalConfig(epochs=4, learning_rate=5e-3, max_length=6)


def test_self_critical_training_raises_the_reward(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    result = train(tiny_encoder, tmp_path, self_critical=replace(CRITICAL, epochs=8, samples=10))
    first, rewards = result.epochs[:3], [row["reward"] for row in result.epochs[3:]]
    assert all("train_loss" in row for row in first)
    assert [row["epoch"] for row in result.epochs] == list(range(1, 12))
    assert sum(rewards[-4:]) > 1.1 * sum(rewards[:4])
    start = next(row for row in reversed(first) if row["saved"])
    assert result.best["CIDEr"] >= start["CIDEr"]
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert float(rows[-1]["reward"]) == pytest.approx(rewards[-1])
    assert rows[-1]["train_loss"] == ""


@pytest.mark.parametrize("epoch", [2, 4])
@pytest.mark.usefixtures("on_cpu")
def test_resumed_self_critical_run_ends_the_same(
    tiny_encoder: CNNEncoder, tmp_path: Path, epoch: int
) -> None:
    whole = train(tiny_encoder, tmp_path / "whole", self_critical=CRITICAL)
    with pytest.raises(RuntimeError, match="killed"):
        train(
            tiny_encoder,
            tmp_path / "killed",
            epoch * (32 + 8) + 20,
            config=replace(CONFIG, checkpoint_minutes=0),
            self_critical=CRITICAL,
        )
    resumed = train(tiny_encoder, tmp_path / "killed", resume=True, self_critical=CRITICAL)
    kept = ("epoch", "train_loss", "reward", "val_loss", "CIDEr", "saved")
    ours, theirs = ([{k: row.get(k) for k in kept} for row in r.epochs] for r in (resumed, whole))
    assert ours == theirs


def test_gpu_memory_and_speed_are_in_the_history(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    gpu = FakeGpu()

    class Allocating(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            size = 7 if draw is None else 5 + int(image.image_id)  # validation images take less
            gpu.allocate(size)
            gpu.free(size)
            return super().__call__(image, draw)

    gpu.allocate(100)
    memory = MemoryByStage(gpu)
    result = train(tiny_encoder, tmp_path, memory=memory, source=Allocating)
    peaks = {name: reading.peak // MIB for name, reading in memory.stages.items()}
    assert peaks == {"cross-entropy training": 100 + 5 + 31, "validation": 107, "calibration": 100}
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [float(row["gpu_peak_mib"]) for row in rows] == [136, 136, 136]
    assert all(float(row["gpu_reserved_mib"]) == 136 for row in rows)
    for row in result.epochs:
        assert row["captions_per_second"] == pytest.approx(2 * row["images_per_second"])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = events.Tags()["scalars"]
    assert {"memory/gpu_peak_mib", "memory/gpu_reserved_mib", "speed/images_per_second"} <= set(logged)
    assert [event.value for event in events.Scalars("memory/gpu_peak_mib")] == [136, 136, 136]


TWO = [replace(image, dataset="ab"[int(image.image_id) % 2]) for image in IMAGES]


def test_of_two_datasets_the_mean_decides(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    result = train(tiny_encoder, tmp_path, images=TWO, self_critical=replace(CRITICAL, epochs=1))
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


def test_few_references_are_left_out_of_self_critical_training(
    tiny_encoder: CNNEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of every fourth image a model wrote the second caption; resuming numbers what is left as before."""
    images = [
        replace(image, authors=("person", "model")) if int(image.image_id) % 4 == 0 else image
        for image in IMAGES
    ]
    policy = replace(CRITICAL, epochs=2, min_references=2)
    calls: list[str] = []

    class Counting(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            calls.append(image.image_id)
            return super().__call__(image, draw)

    config = replace(CONFIG, epochs=1, checkpoint_minutes=0)
    options = {"images": images, "config": config, "self_critical": policy}
    with caplog.at_level("INFO", "showtell.training.fit"):
        whole = train(tiny_encoder, tmp_path / "whole", source=Counting, **options)
    assert "leaves out 8 of 32 images: fewer than 2 captions" in caplog.text
    trained = Counter(calls[32 + 8 : 32 + 8 + 24])
    assert trained == Counter(str(n) for n in range(32) if n % 4)
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny_encoder, tmp_path / "killed", 2 * (32 + 8) + 10, **options)
    resumed = train(tiny_encoder, tmp_path / "killed", resume=True, **options)
    kept = ("epoch", "reward", "val_loss", "CIDEr", "saved")
    ours, theirs = ([{k: row.get(k) for k in kept} for row in r.epochs] for r in (resumed, whole))
    assert ours == theirs
    everything = replace(policy, references="all", epochs=1)
    calls.clear()
    train(
        tiny_encoder,
        tmp_path / "all",
        source=Counting,
        images=images,
        config=config,
        self_critical=everything,
    )
    assert len(set(calls[32 + 8 : 32 + 8 + 32])) == 32
    options["self_critical"] = replace(policy, min_references=3)
    with pytest.raises(ConfigError, match=r"has 3 captions to compare with; lower self_critical\.min"):
        train(tiny_encoder, tmp_path / "none", **options)
