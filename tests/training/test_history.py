"""The history of a run: its file, its log, GPU memory, and epochs with one caption for all images."""

from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from showtell.data.records import CaptionedImage
from showtell.encoder.cnn import CNNEncoder
from showtell.training.history import (
    best_of,
    collapsed,
    gpu_memory,
    log_epoch,
    scores_of_dataset,
    write_history,
)
from showtell.utils.gpu_memory import MIB, MemoryByStage
from tests.training.toy import CONFIG, Features, train
from tests.utils.test_gpu_memory import FakeGpu

ROW = {
    "epoch": 2.0,
    "train_loss": 3.5,
    "val_loss": 2.25,
    "saved": 1.0,
    "BLEU-4": 0.125,
    "CIDEr": 0.5,
    "words": 8.25,
    "vocabulary": 40.0,
    "bad_endings": 0.125,
    "different": 3.0,
    "captions_per_second": 99.6,
}


@pytest.mark.parametrize(
    ("row", "images", "same"),
    [
        ({"different": 1.0}, 5, True),
        ({"different": 2.0}, 5, False),
        ({"different": 1.0}, 1, False),
        ({}, 5, False),
    ],
)
def test_one_caption_for_several_images_is_a_collapse(row: dict[str, float], images: int, same: bool) -> None:
    assert collapsed(row, images) == same


def test_the_best_epoch_is_the_one_saved_last() -> None:
    saved = [1.0, 0.0, 1.0, 0.0]
    assert best_of([{"epoch": n, "saved": each} for n, each in enumerate(saved, start=1)])["epoch"] == 3


def test_the_log_of_an_epoch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "showtell.training.history")
    datasets = {"val_loss/birds": 2.0, "BLEU-4/birds": 0.25, "CIDEr/birds": 0.75}
    log_epoch(ROW | datasets | {"gpu_peak_mib": 1234.0}, 5, "train_loss", 8)
    first, second = caplog.messages
    assert first == (
        "epoch 2/5  loss 3.500  val loss 2.2500 (saved)  BLEU-4 0.125  CIDEr 0.500  8.2 words, 40 different, "
        "12.5 % bad endings  100 captions/s  GPU 1,234 MiB"
    )
    assert second.strip() == "birds: val loss 2.0000  BLEU-4 0.250  CIDEr 0.750"
    caplog.clear()
    log_epoch(ROW | {"saved": 0.0, "different": 1.0, "reward": 0.875}, 5, "reward", 8)
    line, warning = caplog.messages
    assert line.startswith("epoch 2/5  reward 0.875  val loss 2.2500  BLEU-4")
    assert "got the same caption after epoch 2" in warning


def test_a_dataset_without_a_score_shows_nan() -> None:
    assert scores_of_dataset({"val_loss/a": 1.0}, "a") == "a: val loss 1.0000  BLEU-4 nan  CIDEr nan"


@pytest.mark.usefixtures("with_curves")
def test_the_file_has_all_columns_and_the_curves_lie_beside_it(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "train_loss": 2.123456789, "val_loss": 2.0}, {"epoch": 2.0, "reward": 0.5}]
    write_history(rows, tmp_path)
    table = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert list(table[0]) == ["epoch", "train_loss", "val_loss", "reward"]
    assert table[0]["train_loss"] == "2.1234568"
    assert (table[0]["reward"], table[1]["train_loss"], table[1]["reward"]) == ("", "", "0.5")
    for name in ("loss.png", "scores.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_gpu_memory_is_the_largest_of_the_stages_that_were_run() -> None:
    gpu = FakeGpu()
    memory = MemoryByStage(gpu)
    for stage, size in (("training", 30), ("validation", 50), ("other", 90)):
        with memory.stage(stage):
            gpu.allocate(size)
            gpu.free(size)
    assert gpu_memory(memory, ("training", "validation", "missing"))["gpu_peak_mib"] == 50
    assert gpu_memory(MemoryByStage(None), ("training",)) == {}


def test_gpu_memory_and_speed_of_a_run(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    gpu = FakeGpu()

    class Allocating(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            size = 7 if draw is None else 5 + int(image.image_id)  # validation images take less
            gpu.allocate(size)
            gpu.free(size)
            return super().__call__(image, draw)

    gpu.allocate(100)
    memory = MemoryByStage(gpu)
    config = replace(CONFIG, epochs=2)
    result = train(tiny_encoder, tmp_path, memory=memory, source=Allocating, config=config)
    peaks = {name: reading.peak // MIB for name, reading in memory.stages.items()}
    assert peaks == {"cross-entropy training": 100 + 5 + 31, "validation": 107, "calibration": 100}
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [float(row["gpu_peak_mib"]) for row in rows] == [136, 136]
    assert all(float(row["gpu_reserved_mib"]) == 136 for row in rows)
    for row in result.epochs:
        assert row["captions_per_second"] == pytest.approx(2 * row["images_per_second"])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = events.Tags()["scalars"]
    assert {"memory/gpu_peak_mib", "memory/gpu_reserved_mib", "speed/images_per_second"} <= set(logged)
    assert [event.value for event in events.Scalars("memory/gpu_peak_mib")] == [136, 136]
