"""Checkpoints of training: the best model, and the state from which training resumes."""

from __future__ import annotations

import io
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.checkpoints.tensor_files import misfit, read_pickled
from showtell.errors import CheckpointError, ConfigError, ShowtellError
from showtell.training.distributed import processes, total
from showtell.training.module import CaptionModule
from showtell.utils.files import write_atomic

log = logging.getLogger(__name__)


class InterruptedTrainingError(ShowtellError):
    """Training was asked to stop (Ctrl-C, SIGTERM), and has saved its state."""

    exit_code = 130


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all; loads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See `lightning.fabric.plugins.CheckpointIO`."""
        del storage_options
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomic(Path(path), buffer.getvalue())

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any = "cpu",
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """See `lightning.fabric.plugins.CheckpointIO`.

        Raises:
            CheckpointError: the file is damaged.
        """
        try:
            checkpoint = read_pickled(Path(path))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); start a new run") from error
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("showtell"), dict):
            raise CheckpointError(f"{path}: damaged, not a checkpoint of showtell; start a new run")
        return checkpoint


def check_checkpoint(
    path: Path, checkpoint: dict[str, Any] | None, module: CaptionModule, setting: str, epochs: int
) -> None:
    """Compare a checkpoint with the module and the epochs that are to go on from it.

    Args:
        path: its file, for errors.
        checkpoint: what `AtomicCheckpointIO` loads; None passes.
        module: the module that gets its weights.
        setting: name of the setting of the stage's epochs.
        epochs: of the stage.

    Raises:
        CheckpointError: the weights are those of another model.
        ConfigError: training has gone on for more epochs already.
    """
    if checkpoint is None:
        return
    weights, epoch = checkpoint.get("state_dict"), checkpoint.get("epoch")
    if not isinstance(weights, dict) or not all(isinstance(each, Tensor) for each in weights.values()):
        raise CheckpointError(f"{path}: damaged, it has no weights; start a new run")
    if difference := misfit(weights, module.state_dict()):
        raise CheckpointError(
            f"{path}: the state of another model ({difference}); resume with the settings of its run, or"
            " start a new one"
        )
    if isinstance(epoch, int) and epoch + 1 > epochs:
        raise ConfigError(
            f"{setting} {epochs}: this run has come to its epoch {epoch + 1}; ask for as many or more"
        )


class SaveBest(Callback):
    """Saves the whole model whenever the validation loss (in self-critical training: minus CIDEr) decreases.

    Args:
        folder: where the file goes.
        best: what there is to beat.
    """

    def __init__(self, folder: Path, best: float = math.inf) -> None:
        self.folder = folder
        self.best = best
        self.saved = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, and save."""
        if trainer.sanity_checking:
            return
        module = cast(CaptionModule, pl_module)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        loss = module.objective(metrics)
        self.saved = loss < self.best
        if self.saved:
            self.best = loss
            if processes().is_rank_zero:
                module.captioner.save(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """Kept in the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Taken from the checkpoint."""
        self.best = float(state_dict["best"])


class CheckpointLast(Callback):
    """Keeps the state of training in last.ckpt: after each epoch, every few minutes, and when asked to stop.

    Args:
        folder: where the file goes.
        minutes: between two checkpoints within an epoch.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self.path, self.minutes = folder / CHECKPOINT, minutes
        self._saved = time.monotonic()
        self._asked_to_stop = False

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save within the epoch where it is time to, or on the way out."""
        due = self._asked_to_stop or time.monotonic() - self._saved > 60 * self.minutes
        if self._agreed(due) and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the epoch's validation."""
        self._save(trainer)

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as a wish to stop after the present step; a second one stops at once."""
        try:
            before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: signals are not ours
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _agreed(self, wish: bool) -> bool:
        """Whether any process has this wish: they save and stop together."""
        return total(wish)[0] > 0

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
        if self._agreed(self._asked_to_stop):
            raise InterruptedTrainingError(f"stopped; {self.path} is saved, go on with --resume")

    def _stop(self, number: int, frame: Any) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True
        log.info("Stopping after this step (once more to stop at once)")
