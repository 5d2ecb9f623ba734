"""The training history: losses and scores of each epoch in the log, as CSV and as curves."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from showtell.checkpoints.run_folder import HISTORY
from showtell.training.distributed import all_gather_object
from showtell.utils.files import write_atomic
from showtell.utils.gpu_memory import MIB, MemoryByStage
from showtell.utils.plots import plot_lines

log = logging.getLogger(__name__)


def collapsed(row: Mapping[str, float], images: int) -> bool:
    """Whether all validation images (several) got the same caption after an epoch."""
    return images > 1 and row.get("different") == 1


def best_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The row of the epoch whose model was saved last."""
    return next(row for row in reversed(rows) if row["saved"])


def scores_of_dataset(row: Mapping[str, float], dataset: str) -> str:
    """Loss and scores of one dataset in the row of an epoch, as text."""
    loss, bleu, cider = (row.get(f"{name}/{dataset}", math.nan) for name in ("val_loss", "BLEU-4", "CIDEr"))
    return f"{dataset}: val loss {loss:.4f}  BLEU-4 {bleu:.3f}  CIDEr {cider:.3f}"


def gpu_memory(memory: MemoryByStage, stages: Sequence[str]) -> dict[str, float]:
    """Peak memory of all GPUs in some stages, allocated and reserved; collective over all ranks."""
    own = [memory.stages[name] for name in stages if name in memory.stages]
    readings = [reading for of_process in all_gather_object(own) for reading in of_process]
    if not readings:
        return {}
    return {
        "gpu_peak_mib": max(reading.peak for reading in readings) / MIB,
        "gpu_reserved_mib": max(reading.reserved for reading in readings) / MIB,
    }


def log_epoch(row: Mapping[str, float], epochs: int, metric: str, val_images: int) -> None:
    """Log the row of an epoch.

    Args:
        row: losses, scores and rates.
        epochs: of all stages so far.
        metric: key of the training objective's mean in the row.
        val_images: number of validation images.
    """
    log.info(
        "epoch %d/%d  %s %.3f  val loss %.4f%s  BLEU-4 %.3f  CIDEr %.3f  %.1f words, %.0f different, "
        "%.1f %% bad endings  %.0f captions/s%s",
        row["epoch"],
        epochs,
        metric.removeprefix("train_"),
        row[metric],
        row["val_loss"],
        " (saved)" if row["saved"] else "",
        row["BLEU-4"],
        row["CIDEr"],
        row["words"],
        row["vocabulary"],
        100 * row["bad_endings"],
        row["captions_per_second"],
        f"  GPU {row['gpu_peak_mib']:,.0f} MiB" if "gpu_peak_mib" in row else "",
    )
    for dataset in dict.fromkeys(name.partition("/")[2] for name in row if "/" in name):
        log.info("    %s", scores_of_dataset(row, dataset))
    if collapsed(row, val_images):
        log.warning("all validation photos got the same caption after epoch %d", row["epoch"])


def write_history(rows: Sequence[Mapping[str, float]], folder: Path) -> None:
    """Write history.csv, loss.png and scores.png."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: f"{value:.8g}" for name, value in row.items()} for row in rows])
    write_atomic(folder / HISTORY, text.getvalue())

    def curves(*kinds: str) -> dict[str, list[tuple[float, float]]]:
        chosen = [name for name in names if name.partition("/")[0] in kinds]
        return {name: [(row["epoch"], row[name]) for row in rows if name in row] for name in chosen}

    losses, scores = curves("train_loss", "divergence", "val_loss"), curves("BLEU-4", "CIDEr")
    plot_lines(losses, folder / "loss.png", title="Loss", x_label="epoch", y_label="nats per word")
    plot_lines(scores, folder / "scores.png", title="Scores on validation", x_label="epoch", y_label="score")
