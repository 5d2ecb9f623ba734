"""The progress bar of training, and returning free memory to the system."""

from __future__ import annotations

import time
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from showtell.training.distributed import processes
from showtell.utils.malloc_trim import malloc_trim
from showtell.utils.progress import bars_hidden

TRIM_EVERY_SECONDS: Final = 5.0
"""Seconds after which free memory is given back."""

_REFRESH: Final = 0.5
"""Seconds between two readings of the loss for the progress bar."""


class TrimMemory(Callback):
    """Gives back, every few seconds, what batches of ever other shapes leave free in pieces."""

    def __init__(self) -> None:
        self._tidied = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tidy, if it is time."""
        if time.monotonic() - self._tidied > TRIM_EVERY_SECONDS:
            malloc_trim()
            self._tidied = time.monotonic()


class Progress(Callback):
    """A progress bar: the epoch, loss, captions a second, and the time left for all epochs."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Open the epoch's bar."""
        if self._bar is None:
            self._bar = tqdm(
                total=int(trainer.num_training_batches),
                initial=batch_idx,
                desc=f"epoch {trainer.current_epoch + 1}",
                leave=False,
                unit="batch",
                disable=bars_hidden(),
            )
            self._start, self._captions, self._first = time.monotonic(), 0, trainer.global_step
            self._shown = 0.0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move it."""
        if self._bar is None:
            return
        self._captions += len(batch.captions) * processes().count
        self._bar.update()
        seconds = time.monotonic() - self._start
        if self._bar.disable or seconds - self._shown < _REFRESH:
            return  # reading the loss waits for a GPU
        self._shown = seconds
        done = trainer.global_step - self._first
        left = (int(trainer.estimated_stepping_batches) - trainer.global_step) * seconds / max(done, 1)
        self._bar.set_postfix_str(
            f"loss {float(outputs['loss']):.3f}, {self._captions / seconds:.0f} captions/s, "
            f"{tqdm.format_interval(left)} left for all epochs"
        )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close it."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
