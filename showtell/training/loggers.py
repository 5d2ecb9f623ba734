"""Loggers of a run: scores and some captions of each epoch for TensorBoard, Weights & Biases or MLflow.

A training loop calls `log_epoch` once per epoch, on rank 0 only; `open_logger` finishes the log at the end.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from showtell.config import LoggerKind
from showtell.errors import ConfigError, ShowtellError, UsageError
from showtell.training.logged_photos import CaptionedPhoto, photo_figure
from showtell.utils.files import read_json, reraise_os_error, write_atomic
from showtell.utils.plots import missing_glyphs_as_boxes
from showtell.utils.runs import CONFIG

log = logging.getLogger(__name__)

STATE: Final = "logger.json"
"""File in the run's folder that names the run of W&B or MLflow, for resuming."""

_PACKAGES: Final[dict[str, tuple[str, str]]] = {"wandb": ("wandb", "wandb"), "mlflow": ("mlflow", "mlflow")}
"""Package and extra of a logger."""

_GROUPS: Final = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "reward": "reward/train",
    "divergence": "loss/divergence",
    "BLEU-1": "scores/BLEU-1",
    "BLEU-2": "scores/BLEU-2",
    "BLEU-3": "scores/BLEU-3",
    "BLEU-4": "scores/BLEU-4",
    "CIDEr": "scores/CIDEr",
    "words": "captions/words",
    "vocabulary": "captions/vocabulary",
    "bad_endings": "captions/bad_endings",
    "different": "captions/different",
    "learning_rate": "optimizer/learning_rate",
    "captions_per_second": "speed/captions_per_second",
    "images_per_second": "speed/images_per_second",
    "gpu_peak_mib": "memory/gpu_peak_mib",
    "gpu_reserved_mib": "memory/gpu_reserved_mib",
}


def grouped(row: Mapping[str, float]) -> dict[str, float]:
    """The values of an epoch's row under names in groups: `val_loss/coco` is `loss/validation/coco`."""
    names = {name: name.partition("/") for name in row if name != "epoch"}
    return {
        f"{_GROUPS.get(kind, f'other/{kind}')}{slash}{dataset}": row[name]
        for name, (kind, slash, dataset) in names.items()
    }


class RunLogger(ABC):
    """Takes the values and captions of epochs. Steps are epochs, counted from 1."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log the values of an epoch."""

    @abstractmethod
    def log_images(self, photos: Sequence[CaptionedPhoto], step: int) -> None:
        """Log photos with the captions that the model gave them after an epoch."""

    @abstractmethod
    def finish(self, *, failed: bool = False) -> None:
        """Send what is left, and end the run."""

    def log_epoch(self, row: Mapping[str, float], photos: Sequence[CaptionedPhoto]) -> None:
        """Log an epoch: the row of the history, grouped, and photos, if there are any."""
        step = int(row["epoch"])
        self.log_metrics(grouped(row), step)
        if photos:
            self.log_images(photos, step)


class NoLogger(RunLogger):
    """Logs nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def log_images(self, photos: Sequence[CaptionedPhoto], step: int) -> None:
        """Do nothing."""

    def finish(self, *, failed: bool = False) -> None:
        """Do nothing."""


class TensorBoard(RunLogger):
    """Event files in `folder`/tensorboard.

    Raises:
        WriteError: they cannot be written; each method does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tensorboard"
        from torch.utils.tensorboard import SummaryWriter

        with reraise_os_error(self.folder):
            self._writer: Any = SummaryWriter(str(self.folder))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """See `RunLogger`."""
        with reraise_os_error(self.folder):
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def log_images(self, photos: Sequence[CaptionedPhoto], step: int) -> None:
        """See `RunLogger`."""
        with reraise_os_error(self.folder), missing_glyphs_as_boxes():
            self._writer.add_figure("photos", photo_figure(photos), step)
            self._writer.flush()

    def finish(self, *, failed: bool = False) -> None:  # noqa: ARG002 - of other loggers
        """See `RunLogger`."""
        with reraise_os_error(self.folder):
            self._writer.close()


@dataclass
class _Remote(RunLogger):
    """A logger that sends to a service; training continues if sending fails."""

    name: str
    run: Any
    _told: bool = field(default=False, init=False)

    @contextmanager
    def _sending(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._told:
                log.warning(
                    "%s: not logged (%s); training continues", self.name, " ".join(str(error).split())
                )
            self._told = True


class WandbLogger(_Remote):
    """Weights & Biases; the project is `showtell`, or that of WANDB_PROJECT."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        known = _known_run(folder, "wandb")
        with _opening("wandb", "log in with `wandb login`, or set WANDB_MODE=offline"):
            import wandb

            run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "showtell"),
                name=folder.name,
                dir=str(folder),
                config=dict(settings),
                id=known or secrets.token_hex(8),
                resume="allow",
            )
        super().__init__("wandb", run)
        _remember_run(folder, "wandb", str(run.id))
        self._image = wandb.Image

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """See `RunLogger`."""
        with self._sending():
            self.run.log(dict(metrics), step=step)

    def log_images(self, photos: Sequence[CaptionedPhoto], step: int) -> None:
        """See `RunLogger`."""
        with self._sending():
            images = [self._image(photo.image, caption=photo.text) for photo in photos]
            self.run.log({"photos": images}, step=step)

    def finish(self, *, failed: bool = False) -> None:
        """See `RunLogger`."""
        with self._sending():
            self.run.finish(exit_code=int(failed))


class MlflowLogger(_Remote):
    """MLflow at MLFLOW_TRACKING_URI; the experiment is `showtell`, or that of MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        known = _known_run(folder, "mlflow")
        with _opening("mlflow", "see to MLFLOW_TRACKING_URI, or leave it unset to log to this machine"):
            import mlflow

            if known is None and "MLFLOW_EXPERIMENT_NAME" not in os.environ:
                mlflow.set_experiment("showtell")
            run = mlflow.start_run(run_id=known, run_name=None if known else folder.name)
            if known is None:
                mlflow.log_params(_flat(settings))
        super().__init__("mlflow", mlflow)
        _remember_run(folder, "mlflow", str(run.info.run_id))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """See `RunLogger`."""
        with self._sending():
            self.run.log_metrics(dict(metrics), step=step)

    def log_images(self, photos: Sequence[CaptionedPhoto], step: int) -> None:
        """See `RunLogger`."""
        with self._sending(), missing_glyphs_as_boxes():
            self.run.log_figure(photo_figure(photos), f"photos/epoch-{step:03}.png")
            rows = [{"image": photo.name, "caption": photo.text} for photo in photos]
            self.run.log_text(json.dumps(rows, indent=1), f"photos/epoch-{step:03}.json")

    def finish(self, *, failed: bool = False) -> None:
        """See `RunLogger`."""
        with self._sending():
            self.run.end_run(status="FAILED" if failed else "FINISHED")


def require_logger(kind: LoggerKind) -> None:
    """Check that the package of a logger is installed, before anything takes long.

    Raises:
        UsageError: it is not.
    """
    package, extra = _PACKAGES.get(kind, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        raise UsageError(
            f"training.logger {kind} needs {package}: install it with pip install 'showtell[{extra}]'"
        )


@contextmanager
def open_logger(kind: LoggerKind, folder: Path, *, writes: bool = True) -> Iterator[RunLogger]:
    """The logger of a run, for the block; it is finished at its end.

    Args:
        kind: which.
        folder: of the run; W&B and MLflow get the settings of its `config.yaml`, and a resumed run goes on in
            the run that is named there.
        writes: whether this process logs: process 0 does.

    Raises:
        UsageError: the logger's package is not installed.
        ConfigError: a service cannot be reached, or refuses.
    """
    logger: RunLogger = NoLogger()
    if writes and kind != "none":
        require_logger(kind)
        if kind == "tensorboard":
            logger = TensorBoard(folder)
        else:
            logger = (WandbLogger if kind == "wandb" else MlflowLogger)(folder, _settings(folder))
    try:
        yield logger
    except BaseException:
        logger.finish(failed=True)
        raise
    logger.finish()


@contextmanager
def _opening(kind: str, fix: str) -> Iterator[None]:
    try:
        yield
    except ShowtellError:
        raise
    except Exception as error:
        raise ConfigError(
            f"training.logger {kind}: {' '.join(str(error).split()) or type(error).__name__}; {fix}, or take"
            " training.logger tensorboard"
        ) from error


def _settings(folder: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return values if isinstance(values, dict) else {}


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings of sections as `section.name`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat


def _known_run(folder: Path, kind: str) -> str | None:
    """The run of the service that this folder's training began; None if there is none."""
    try:
        state = read_json(folder / STATE)
    except (OSError, ValueError):
        return None
    return str(state["run"]) if state.get("logger") == kind and "run" in state else None


def _remember_run(folder: Path, kind: str, run: str) -> None:
    write_atomic(folder / STATE, json.dumps({"logger": kind, "run": run}) + "\n")
