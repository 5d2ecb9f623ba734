"""The history of training: losses and scores of each epoch, as CSV and as curves."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from showtell.checkpoints.run_folder import HISTORY
from showtell.training.checkpointing import SaveBest
from showtell.training.distributed import all_gather_object, processes, total
from showtell.training.logged_photos import chosen_photos
from showtell.training.loggers import NoLogger, RunLogger
from showtell.training.module import CaptionModule
from showtell.utils.files import write_atomic
from showtell.utils.gpu_memory import MIB, MemoryByStage
from showtell.utils.plots import plot_lines

log = logging.getLogger(__name__)

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

OnEpoch = Callable[[dict[str, float]], None]
"""Takes the row of an epoch."""


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
        logger: is given each new row, and photos with their captions.
        photos: their number.

    Attributes:
        has_begun: whether training has begun, so that a checkpoint to resume has been loaded.
    """

    def __init__(
        self,
        folder: Path,
        best: SaveBest,
        memory: MemoryByStage,
        rows: Sequence[dict[str, float]] = (),
        on_epoch: OnEpoch | None = None,
        logger: RunLogger | None = None,
        photos: int = 0,
    ) -> None:
        self.logger, self.photos = logger or NoLogger(), photos
        self.folder, self.best, self.memory, self.on_epoch = folder, best, memory, on_epoch
        self.rows = list(rows)
        self.has_begun = False
        self._start = time.monotonic()
        self._captions = self._images = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock (a resumed epoch has no start of its own)."""
        self._start, self._captions, self._images = time.monotonic(), 0, 0
        self.has_begun = True
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
        self.memory.end(f"{cast(CaptionModule, pl_module).stage} training")
        self.memory.begin()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row."""
        if trainer.sanity_checking:
            return
        module = cast(CaptionModule, pl_module)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.memory.end("validation")
        captions, images = total(self._captions, self._images)
        row: dict[str, float] = {
            "epoch": float(len(self.rows) + 1),
            module.train_metric: module.train_loss.mean(),
            **{
                name: metrics[name] for name in sorted(metrics, key=_validation_order) if _is_validation(name)
            },
            "saved": float(self.best.saved),
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "captions_per_second": captions / self._seconds,
            "images_per_second": images / self._seconds,
            **self._gpu_memory(f"{module.stage} training"),
        }
        self.rows.append(row)
        if processes().is_rank_zero:
            self._write()
            ours = module.val_images[:: processes().count]  # this process has captioned each n-th image
            self.logger.log_epoch(row, chosen_photos(ours, module.predictions, self.photos))
        epochs = len(self.rows) - trainer.current_epoch - 1 + int(trainer.max_epochs or 0)
        log.info(
            "epoch %d/%d  %s %.3f  val loss %.4f%s  BLEU-4 %.3f  CIDEr %.3f  %.1f words, %.0f different, "
            "%.1f %% bad endings  %.0f captions/s%s",
            row["epoch"],
            epochs,
            module.train_metric.removeprefix("train_"),
            row[module.train_metric],
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
        for dataset in module.datasets if len(module.datasets) > 1 else ():
            log.info("    %s", scores_of_dataset(row, dataset))
        if collapsed(row, len(module.val_images)):
            log.warning("the captions of all validation photos are the same one after epoch %d", row["epoch"])
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _gpu_memory(self, stage: str) -> dict[str, float]:
        """The most that any GPU has held so far in training and in validation, and has reserved."""
        mine = [self.memory.stages[name] for name in (stage, "validation") if name in self.memory.stages]
        readings = [reading for of_process in all_gather_object(mine) for reading in of_process]
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
        rows = state_dict["rows"]
        if not all(isinstance(value, float) for row in rows for value in row.values()):
            raise TypeError("the history holds something else than numbers")
        self.rows = rows

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(
            text, fieldnames=list({k: 0 for row in self.rows for k in row}), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows([{k: f"{v:.8g}" for k, v in row.items()} for row in self.rows])
        write_atomic(self.folder / HISTORY, text.getvalue())
        names = dict.fromkeys(name for row in self.rows for name in row)
        losses = {n: self._line(n) for n in names if n.partition("/")[0] in ("train_loss", "val_loss")}
        scores = {n: self._line(n) for n in names if n.partition("/")[0] in ("BLEU-4", "CIDEr")}
        plot_lines(losses, self.folder / "loss.png", title="Loss", x_label="epoch", y_label="nats a word")
        plot_lines(
            scores, self.folder / "scores.png", title="Scores on validation", x_label="epoch", y_label="score"
        )

    def _line(self, name: str) -> list[tuple[float, float]]:
        return [(row["epoch"], row[name]) for row in self.rows if name in row]
