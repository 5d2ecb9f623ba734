"""The progress bar of an epoch, and its captions and images per second."""

from __future__ import annotations

import time
from typing import Final

from torch import Tensor
from tqdm import tqdm

from showtell.data.dataset import CaptionBatch
from showtell.training.distributed import all_reduce_sum, world
from showtell.utils.progress import bars_hidden

REFRESH_SECONDS: Final = 0.5
"""Seconds between two readings of the loss for the progress bar, which wait for a GPU."""


class IntervalTimer:
    """Says when so many seconds have passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Start counting again."""
        self._since = time.monotonic()

    def due(self) -> bool:
        """Whether the seconds have passed since it was last due."""
        due = time.monotonic() - self._since > self.seconds
        if due:
            self.restart()
        return due


class Progress:
    """A progress bar: the epoch, loss, captions a second, and the time left for all epochs.

    Args:
        epoch: its number, from 1.
        batches: of the epoch.
        done: of these, when it was resumed.
        steps_left: of all epochs.
    """

    def __init__(self, epoch: int, batches: int, done: int, steps_left: int) -> None:
        self._bar = tqdm(
            total=batches,
            initial=done,
            desc=f"epoch {epoch}",
            leave=False,
            unit="batch",
            disable=bars_hidden(),
        )
        self._start, self._refresh, self._left = time.monotonic(), IntervalTimer(REFRESH_SECONDS), steps_left
        self._steps = self._captions = self._images = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, batch: CaptionBatch, loss: Tensor) -> None:
        """Count a batch that was trained on."""
        self._steps += 1
        self._captions += len(batch.captions)
        self._images += len(batch.images)
        self._bar.update()
        if self._bar.disable or not self._refresh.due():
            return
        seconds = time.monotonic() - self._start
        left = (self._left - self._steps) * seconds / self._steps
        rate = self._captions * world().world_size / seconds
        self._bar.set_postfix_str(
            f"loss {float(loss.detach()):.3f}, {rate:.0f} captions/s, "
            f"{tqdm.format_interval(left)} left for all epochs"
        )

    def rates(self) -> dict[str, float]:
        """Captions and images a second of all processes, each of which has to ask."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        captions, images = all_reduce_sum(self._captions, self._images)
        return {"captions_per_second": captions / seconds, "images_per_second": images / seconds}
