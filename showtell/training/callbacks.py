"""What happens around the training steps: files, history, progress, and an orderly stop."""

from __future__ import annotations

import csv
import io
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from showtell.errors import CheckpointError, ShowtellError
from showtell.files import write_atomic
from showtell.gpu_memory import MIB, MemoryByStage
from showtell.memory import release_free_memory
from showtell.plotting import plot_lines
from showtell.progress import bars_hidden
from showtell.training.distributed import gathered, processes, total
from showtell.training.module import CaptionModule

log = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
_VALIDATION = (  # each also of every dataset, where there are several: "val_loss/coco"
    "val_loss",
    "BLEU-1",
    "BLEU-2",
    "BLEU-3",
    "BLEU-4",
    "CIDEr",
    "words",
    "vocabulary",
    "bad_endings",
    "different",
)

_TIDY: Final = 5.0
"""Seconds after which free memory is given back."""

_REFRESH: Final = 0.5
"""Seconds between two readings of the loss for the progress bar."""

OnEpoch = Callable[[dict[str, float]], None]
"""Takes the row of an epoch."""


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
            checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # a damaged file can raise about anything inside the unpickler
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CheckpointError(f"{path}: damaged ({reason}); start a new run") from error
        return checkpoint


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
        assert isinstance(pl_module, CaptionModule)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        loss = pl_module.objective(metrics)
        self.saved = loss < self.best
        if self.saved:
            self.best = loss
            if processes().is_first:
                pl_module.captioner.save(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """Kept in the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Taken from the checkpoint."""
        self.best = state_dict["best"]


def _is_validation(name: str) -> bool:
    return name.partition("/")[0] in _VALIDATION


def _validation_order(name: str) -> tuple[bool, str, int]:
    """The means first, then the values of each dataset."""
    kind, _, dataset = name.partition("/")
    return bool(dataset), dataset, _VALIDATION.index(kind) if kind in _VALIDATION else 0


def collapsed(row: Mapping[str, float], images: int) -> bool:
    """Whether an epoch ended with one caption for all of several validation images."""
    return images > 1 and row.get("different") == 1


def scores_of_dataset(row: Mapping[str, float], dataset: str) -> str:
    """Loss and scores of one of several datasets in the row of an epoch, for people."""
    loss, bleu, cider = (row.get(f"{name}/{dataset}", math.nan) for name in ("val_loss", "BLEU-4", "CIDEr"))
    return f"{dataset}: val loss {loss:.4f}  BLEU-4 {bleu:.3f}  CIDEr {cider:.3f}"


class History(Callback):
    """One row an epoch: logged, in history.csv, and as curves.png; part of the checkpoint.

    Args:
        folder: where the files go.
        best: says whether the epoch's model was saved.
        memory: is told when training and validation begin and end.
        rows: of the epochs before.
        on_epoch: called with each new row.
    """

    def __init__(
        self,
        folder: Path,
        best: SaveBest,
        memory: MemoryByStage,
        rows: Sequence[dict[str, float]] = (),
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self.folder, self.best, self.memory, self.on_epoch = folder, best, memory, on_epoch
        self.rows = list(rows)
        self._start = time.monotonic()
        self._captions = self._images = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock (a resumed epoch has no start of its own)."""
        self._start, self._captions, self._images = time.monotonic(), 0, 0
        self.memory.begin()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count captions."""
        self._captions += len(batch.captions)
        self._images += len(batch.images)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._seconds = max(time.monotonic() - self._start, 1e-9)
        assert isinstance(pl_module, CaptionModule)
        self.memory.end(f"{pl_module.stage} training")
        self.memory.begin()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row."""
        if trainer.sanity_checking:
            return
        assert isinstance(pl_module, CaptionModule)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.memory.end("validation")
        captions, images = total(self._captions, self._images)
        row: dict[str, float] = {
            "epoch": float(len(self.rows) + 1),
            pl_module.train_metric: pl_module.train_loss.mean(),
            **{
                name: metrics[name] for name in sorted(metrics, key=_validation_order) if _is_validation(name)
            },
            "saved": float(self.best.saved),
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "captions_per_second": captions / self._seconds,
            "images_per_second": images / self._seconds,
            **self._gpu_memory(f"{pl_module.stage} training"),
        }
        self.rows.append(row)
        if processes().is_first:
            self._write()
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
        epochs = len(self.rows) - trainer.current_epoch - 1 + int(trainer.max_epochs or 0)
        log.info(
            "epoch %d/%d  %s %.3f  val loss %.4f%s  BLEU-4 %.3f  CIDEr %.3f  %.1f words, %.0f different, "
            "%.1f %% bad endings  %.0f captions/s%s",
            row["epoch"],
            epochs,
            pl_module.train_metric.removeprefix("train_"),
            row[pl_module.train_metric],
            row["val_loss"],
            " (saved)" if self.best.saved else "",
            row.get("BLEU-4", math.nan),
            row.get("CIDEr", math.nan),
            row.get("words", math.nan),
            row.get("vocabulary", math.nan),
            100 * row.get("bad_endings", math.nan),
            row["captions_per_second"],
            f"  GPU {row['gpu_peak_mib']:,.0f} MiB" if "gpu_peak_mib" in row else "",
        )
        for dataset in pl_module.datasets if len(pl_module.datasets) > 1 else ():
            log.info("    %s", scores_of_dataset(row, dataset))
        if collapsed(row, len(pl_module.val_images)):
            log.warning("the captions of all validation photos are the same one after epoch %d", row["epoch"])
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _gpu_memory(self, stage: str) -> dict[str, float]:
        """The most that any GPU has held so far in training and in validation, and has reserved."""
        mine = [self.memory.stages[name] for name in (stage, "validation") if name in self.memory.stages]
        readings = [reading for of_process in gathered(mine) for reading in of_process]
        if not readings:
            return {}
        return {
            "gpu_peak_mib": max(reading.peak for reading in readings) / MIB,
            "gpu_reserved_mib": max(reading.reserved for reading in readings) / MIB,
        }

    def state_dict(self) -> dict[str, Any]:
        """Kept in the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Taken from the checkpoint."""
        self.rows = state_dict["rows"]

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(
            text, fieldnames=list({k: 0 for row in self.rows for k in row}), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows([{k: f"{v:.8g}" for k, v in row.items()} for row in self.rows])
        write_atomic(self.folder / "history.csv", text.getvalue())
        names = dict.fromkeys(name for row in self.rows for name in row)
        losses = {n: self._line(n) for n in names if n.partition("/")[0] in ("train_loss", "val_loss")}
        scores = {n: self._line(n) for n in names if n.partition("/")[0] in ("BLEU-4", "CIDEr")}
        plot_lines(losses, self.folder / "loss.png", title="Loss", x_label="epoch", y_label="nats a word")
        plot_lines(
            scores, self.folder / "scores.png", title="Scores on validation", x_label="epoch", y_label="score"
        )

    def _line(self, name: str) -> list[tuple[float, float]]:
        return [(row["epoch"], row[name]) for row in self.rows if name in row]


class SaveLast(Callback):
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


class TidyMemory(Callback):
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
        if time.monotonic() - self._tidied > _TIDY:
            release_free_memory()
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
        assert self._bar is not None
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
