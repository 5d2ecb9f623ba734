"""Train a captioner: Lightning's Trainer with our callbacks."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from showtell.captioner import Captioner
from showtell.config import SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset, CaptionLoader, eval_loader
from showtell.devices import compute_dtype, log_gpu_memory, pick_device
from showtell.errors import CheckpointError
from showtell.training.calibration import calibrate_model
from showtell.training.callbacks import (
    CHECKPOINT,
    AtomicCheckpointIO,
    History,
    OnEpoch,
    Progress,
    SaveBest,
    SaveLast,
)
from showtell.training.module import CaptionModule
from showtell.training.self_critical import CaptionReward
from showtell.training.self_critical_module import SelfCriticalModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What training gave.

    Attributes:
        epochs: one dictionary an epoch: losses, scores, rates.
    """

    epochs: list[dict[str, float]]

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose model was saved last."""
        return _best_of(self.epochs)

    @property
    def best_loss(self) -> float:
        """The validation loss of the model that was saved."""
        return self.best["val_loss"]


def fit(
    captioner: Captioner,
    train: CaptionDataset,
    val: CaptionDataset,
    config: TrainingConfig,
    search: SearchConfig,
    folder: Path,
    *,
    self_critical: SelfCriticalConfig | None = None,
    resume: bool = False,
    calibrate: bool = True,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Train the decoder of `captioner`; the best model is `folder`/model.safetensors.

    First by cross-entropy: the best model has the lowest validation loss. Then, where it is asked for, by
    self-critical training, which starts from that model and replaces it by one of a higher validation CIDEr.
    At the end the confidence of the best model is calibrated on the validation images.

    Args:
        captioner: the model; trained in place.
        train: training images.
        val: validation images.
        config: the optimisation.
        search: how captions are found in validation.
        folder: gets the model, the checkpoint, history.csv, curves and TensorBoard logs.
        self_critical: the second stage; None, or no epochs, to leave it out.
        resume: go on from `folder`/last.ckpt; the losses are those of a run that was never interrupted.
        calibrate: do this last step.
        on_epoch: called with the row of each epoch (losses, scores, rates); what it raises ends training.

    Raises:
        CheckpointError: there is nothing to resume, or it does not fit.
        InterruptedTrainingError: training was asked to stop and has saved its state.
    """
    checkpoint = folder / CHECKPOINT
    if resume and not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint}: nothing to resume; leave out --resume to start the run")
    workers = config.num_workers
    loader = CaptionLoader(train, batch_size=config.batch_size, seed=config.seed, num_workers=workers)
    val_loader = eval_loader(val, batch_size=config.batch_size, num_workers=workers)
    references = [(image.image_id, image.captions) for image in val.images]
    resumed = _stage_of(checkpoint) if resume else None
    rows: list[dict[str, float]] = []
    if resumed != SelfCriticalModule.stage:
        module = CaptionModule(captioner, config, search, references, loader)
        start = checkpoint if resume else None
        more = _early_stopping(config)
        rows = _run(module, val_loader, config, config.epochs, more, folder, rows, start, on_epoch)
    if self_critical is not None and self_critical.epochs:
        reward = CaptionReward([image.captions for image in train.images], captioner.vocabulary)
        if resumed != SelfCriticalModule.stage:
            log.info(
                "Self-critical training, from the best model so far (epoch %.0f)", _best_of(rows)["epoch"]
            )
            best = Captioner.load(str(folder), device=torch.device("cpu"))
            captioner.decoder.load_state_dict(best.decoder.state_dict())
        policy = SelfCriticalModule(captioner, config, search, references, loader, self_critical, reward)
        start = checkpoint if resumed == SelfCriticalModule.stage else None
        rows = _run(policy, val_loader, config, self_critical.epochs, [], folder, rows, start, on_epoch)
    if calibrate:
        calibrate_model(folder, val_loader, references, search)
    log_gpu_memory("after training")
    return TrainingResult(rows)


def _run(
    module: CaptionModule,
    val_loader: DataLoader[Any],
    config: TrainingConfig,
    epochs: int,
    more: list[Callback],
    folder: Path,
    rows: list[dict[str, float]],
    checkpoint: Path | None,
    on_epoch: OnEpoch | None,
) -> list[dict[str, float]]:
    """Train one stage, from `checkpoint` where one is given; returns `rows` and those of its epochs."""
    device = pick_device()
    to_beat = module.objective(_best_of(rows)) if rows else math.inf
    best = SaveBest(folder, to_beat)
    history = History(folder, best, rows, on_epoch)
    last = SaveLast(folder, config.checkpoint_minutes)
    callbacks = [best, history, Progress(), *more, last]  # the last one saves the state of the others
    with _quiet_lightning(), last.catching_signals():
        trainer = Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed"
            if compute_dtype(config.precision, device) == torch.bfloat16
            else "32-true",
            max_epochs=epochs,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=TensorBoardLogger(folder, name="tensorboard", version=""),
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
        )
        trainer.fit(module, module.loader, val_loader, ckpt_path=checkpoint)
    return history.rows


def _best_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """The epoch whose model was saved last."""
    return next(row for row in reversed(rows) if row["saved"])


def _stage_of(checkpoint: Path) -> str:
    """The stage that a checkpoint was written in."""
    stage: str = AtomicCheckpointIO().load_checkpoint(checkpoint).get("showtell", {}).get("stage", "")
    return stage


def _early_stopping(config: TrainingConfig) -> list[Callback]:
    return [EarlyStopping("val_loss", patience=config.patience)] if config.patience else []


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advertisements and its advice on loaders from the user."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
