"""Train a captioner: Lightning's Trainer with our callbacks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger

from showtell.captioner import Captioner
from showtell.config import SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset, CaptionLoader, eval_loader
from showtell.devices import compute_dtype, log_gpu_memory, pick_device
from showtell.errors import CheckpointError
from showtell.training.callbacks import (
    CHECKPOINT,
    AtomicCheckpointIO,
    History,
    Progress,
    SaveBest,
    SaveLast,
)
from showtell.training.module import CaptionModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What training gave.

    Attributes:
        epochs: one dictionary an epoch: losses, scores, rates.
        best_loss: the validation loss of the model that was saved.
    """

    epochs: list[dict[str, float]]
    best_loss: float


def fit(
    captioner: Captioner,
    train: CaptionDataset,
    val: CaptionDataset,
    config: TrainingConfig,
    search: SearchConfig,
    folder: Path,
    *,
    resume: bool = False,
) -> TrainingResult:
    """Train the decoder of `captioner`; the best model by validation loss is `folder`/model.safetensors.

    Args:
        captioner: the model; trained in place.
        train: training images.
        val: validation images.
        config: the optimisation.
        search: how captions are found in validation.
        folder: gets the model, the checkpoint, history.csv, curves and TensorBoard logs.
        resume: go on from `folder`/last.ckpt; the losses are those of a run that was never interrupted.

    Raises:
        CheckpointError: there is nothing to resume, or it does not fit.
        InterruptedTrainingError: training was asked to stop and has saved its state.
    """
    checkpoint = folder / CHECKPOINT
    if resume and not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint}: nothing to resume; leave out --resume to start the run")
    device = pick_device()
    best = SaveBest(folder)
    history = History(folder, best)
    callbacks: list[Callback] = [best, history, Progress(), *_early_stopping(config)]
    last = SaveLast(folder, config.checkpoint_minutes)
    callbacks.append(last)  # at the end: it saves the state of the others
    workers = config.num_workers
    loader = CaptionLoader(train, batch_size=config.batch_size, seed=config.seed, num_workers=workers)
    val_loader = eval_loader(val, batch_size=config.batch_size, num_workers=workers)
    references = [(image.image_id, image.captions) for image in val.images]
    module = CaptionModule(captioner, config, search, references, loader)
    with _quiet_lightning(), last.catching_signals():
        trainer = Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed"
            if compute_dtype(config.precision, device) == torch.bfloat16
            else "32-true",
            max_epochs=config.epochs,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=TensorBoardLogger(folder, name="tensorboard", version=""),
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
        )
        trainer.fit(module, loader, val_loader, ckpt_path=checkpoint if resume else None)
    log_gpu_memory("after training", device)
    return TrainingResult(history.rows, best.best)


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
