"""The timer and the progress of an epoch, by a clock that the test sets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from showtell.data.dataset import CaptionBatch
from showtell.training import progress
from showtell.training.progress import IntervalTimer, Progress


class Clock:
    """The seconds that `time.monotonic` returns."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(progress, "time", fake)
    return fake


def batch_of(images: int, captions: int) -> CaptionBatch:
    """What is counted of a batch."""
    return SimpleNamespace(images=torch.zeros(images), captions=torch.zeros(captions, 3))  # type: ignore[return-value]


def test_a_timer_is_due_once_after_each_interval(clock: Clock) -> None:
    timer = IntervalTimer(10)
    due = []
    for seconds in (5, 4, 2, 1, 10, 25):
        clock.now += seconds
        due.append(timer.due())
    assert due == [False, False, True, False, True, True]
    clock.now += 9
    timer.restart()
    clock.now += 9
    assert not timer.due()


def test_rates_are_counts_by_seconds(clock: Clock) -> None:
    with Progress(1, batches=4, done=1, steps_left=7) as shown:
        for images, captions in ((8, 20), (4, 12)):
            clock.now += 2
            shown.update(batch_of(images, captions), torch.tensor(1.0))
        assert shown.rates() == {"captions_per_second": 8.0, "images_per_second": 3.0}


def test_the_bar_shows_loss_rate_and_the_time_left_for_all_epochs(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "bars_hidden", lambda: False)
    texts: list[str] = []
    monkeypatch.setattr(progress.tqdm, "set_postfix_str", lambda _, text: texts.append(text))
    with Progress(3, batches=4, done=0, steps_left=12) as shown:
        clock.now += 30
        shown.update(batch_of(8, 60), torch.tensor(2.5))
        clock.now += 0.1  # too early for another look at the loss
        shown.update(batch_of(8, 60), torch.tensor(2.0))
    assert texts == ["loss 2.500, 2 captions/s, 05:30 left for all epochs"]
