"""What is logged after a training: captions of held-out images, the best model, speed, collapse."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from showtell.captioning.caption import Caption, CaptionResult
from showtell.captioning.captioner import Captioner
from showtell.commands.shared import training_run
from showtell.commands.shared.training_run import train
from showtell.config import DataConfig, RunConfig
from showtell.data.prepare import PreparedData
from showtell.data.records import CaptionedImage
from showtell.data.scenes import make_scenes
from showtell.data.vocabulary import Vocabulary
from showtell.errors import TrainingDivergedError
from showtell.training.checkpointing import InterruptedTrainingError
from showtell.training.distributed import RankZeroFailedError, WorldInfo
from showtell.training.fit import TrainingResult
from showtell.training.run import TrainingRun

ROWS = [
    {"epoch": 1.0, "val_loss": 3.0, "CIDEr": 0.5, "saved": 1.0, "different": 4.0},
    {"epoch": 2.0, "val_loss": 2.5, "CIDEr": 0.75, "saved": 1.0, "different": 4.0},
    {"epoch": 3.0, "val_loss": 2.75, "CIDEr": 0.25, "saved": 0.0, "different": 4.0},
]
RATES = ((100.0, 10.0), (300.0, 30.0), (200.0, 20.0))


def finished(captioner: Captioner, photos: list[Path], **best: float) -> TrainingRun:
    """A run that has been trained; its best epoch also has these values."""
    images = [CaptionedImage(path, ("a dog",), "val", path.stem) for path in photos]
    data = PreparedData("mine", images, Vocabulary(["dog"]), 1, Counter())
    rows = [
        row | {"captions_per_second": captions, "images_per_second": per_image}
        for row, (captions, per_image) in zip(ROWS, RATES, strict=True)
    ]
    rows[1] |= best
    config = RunConfig(data=DataConfig(root="photos"))
    return TrainingRun(
        Path("runs/mine"), captioner, TrainingResult(rows), config, data, 1.5, "GPU memory: 3 MiB"
    )


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "showtell")
    return caplog


def returning(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "train_run", lambda config, *, resume: run)


def test_captions_scores_and_speed_are_logged(
    tiny_captioner: Captioner,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    returning(finished(tiny_captioner, photos), monkeypatch)
    train(RunConfig(), resume=None)
    captions = [captions[0].text for captions in tiny_captioner.caption(photos)]
    assert [line for line in log.messages if ".jpg: " in line] == [
        f"  {path.name}: {text}" for path, text in zip(photos, captions, strict=True)
    ]
    assert "Best model: epoch 2 of 3, validation loss 2.5000, CIDEr 0.750; 1.5 min in all" in log.text
    assert "median of the epochs: 200 captions/s, 20 images/s" in log.text
    assert "GPU memory: 3 MiB" in log.text
    assert log.messages[-1].endswith("python inference.py --model runs/mine photo.jpg")
    assert "the same of every photo" not in log.text


@pytest.mark.parametrize(
    ("count", "note"),
    [(1, "CIDEr: 0 by definition for a single image"), (3, "CIDEr: computed on only 3 images")],
)
def test_the_cider_of_few_photos_has_a_note(
    count: int,
    note: str,
    tiny_captioner: Captioner,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    returning(finished(tiny_captioner, photos[:count]), monkeypatch)
    train(RunConfig(), resume=None)
    assert any(line.startswith(f"  {note}") for line in log.messages)


def test_each_of_several_datasets_has_its_line(
    tiny_captioner: Captioner,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    scores = {"val_loss/birds": 2.0, "BLEU-4/birds": 0.25, "CIDEr/birds": 0.5}
    returning(finished(tiny_captioner, photos[:1], **scores), monkeypatch)
    train(RunConfig(), resume=None)
    assert "CIDEr 0.750 (means of the datasets)" in log.text
    assert "  birds: val loss 2.0000  BLEU-4 0.250  CIDEr 0.500" in log.messages


def test_one_caption_for_all_photos_gets_a_warning(
    tiny_captioner: Captioner,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    returning(finished(tiny_captioner, photos, different=1.0), monkeypatch)
    train(RunConfig(), resume=None)
    (warning,) = (record for record in log.records if record.levelno == logging.WARNING)
    assert "the model gives every validation photo the same caption" in warning.getMessage()


@pytest.mark.parametrize("error", [InterruptedTrainingError, TrainingDivergedError, RankZeroFailedError])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_is_reported_by_the_first_process_only(
    error: type[Exception], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: RunConfig, **_: Any) -> TrainingRun:
        raise error("stopped")

    monkeypatch.setattr(training_run, "train_run", fail)
    monkeypatch.setattr(training_run, "world", lambda: WorldInfo(rank, 2))
    if rank:
        train(RunConfig(), resume=None)
    else:
        with pytest.raises(error):
            train(RunConfig(), resume=None)


def test_captions_of_drawn_scenes_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    images = make_scenes(tmp_path, 10)
    texts = {image.path: image.captions[0] if n < 3 else "a cat" for n, image in enumerate(images)}

    def captions(path: Path) -> tuple[Caption, ...]:
        return (Caption(texts[path], tuple(texts[path].split()), (-1.0,)),)

    model: Any = SimpleNamespace(
        caption=lambda paths, _: [captions(path) for path in paths],
        caption_stream=lambda images, _, open_source: [
            CaptionResult(image, captions(open_source(image))) for image in images
        ],
    )
    run = finished(model, [])
    data = replace(run.data, images=[replace(image, split="test") for image in images])
    returning(replace(run, data=data, config=RunConfig()), monkeypatch)
    train(RunConfig(), resume=None)
    assert "Objects, colours and relation all right: 30.0 % of 10 held-out scenes" in log.messages
    assert f"  00001.png: {images[0].captions[0]}" in log.messages
