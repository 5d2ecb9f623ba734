"""Train a captioner: Lightning's Trainer with our callbacks."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.config import SearchConfig, SelfCriticalConfig, TrainerConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset, CaptionLoader, EvalLoader
from showtell.errors import CheckpointError, ConfigError
from showtell.training.calibration import calibrate_model
from showtell.training.checkpointing import AtomicCheckpointIO, CheckpointLast, SaveBest, check_checkpoint
from showtell.training.distributed import (
    accelerator_of,
    barrier,
    devices_and_nodes,
    processes,
    quiet_lightning,
    rank_zero_first,
)
from showtell.training.divergence import StopDivergence
from showtell.training.finetuning import FineTuningModule, Retention
from showtell.training.history import History, OnEpoch
from showtell.training.loggers import RunLogger, open_logger
from showtell.training.module import CaptionModule
from showtell.training.progress import Progress, TrimMemory
from showtell.training.self_critical import CaptionReward
from showtell.training.self_critical_module import SelfCriticalModule
from showtell.utils.devices import compute_dtype, pick_device
from showtell.utils.gpu_memory import MemoryByStage, find_gpu

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """The result of training.

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
    trainer: TrainerConfig | None = None,
    resume: bool = False,
    memory: MemoryByStage | None = None,
    calibrate: bool = True,
    retention: Retention | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Train the decoder of `captioner`; the best model is `folder`/model.safetensors.

    First by cross-entropy: the best model has the lowest validation loss. Then, where it is asked for, by
    self-critical training, which starts from that model and replaces it by one of a higher validation CIDEr.
    Of several datasets (`CaptionedImage.dataset`), loss and CIDEr are the means of theirs.
    At the end the confidence of the best model is calibrated on the validation images.

    Processes that were started together (`start_processes`) all call it with the same arguments; process 0
    writes the files.

    Args:
        captioner: the model; trained in place.
        train: training images.
        val: validation images.
        config: the optimisation.
        search: how captions are found in validation.
        folder: gets the model, the checkpoint, history.csv, curves and the files of the logger.
        self_critical: the second stage; None, or no epochs, to leave it out.
        trainer: the processes that train together.
        resume: go on from `folder`/last.ckpt; the losses are those of a run that was never interrupted.
        memory: gets what training and validation take of the GPU.
        calibrate: do this last step.
        retention: what is kept of the model that training starts from.
        on_epoch: called with the row of each epoch (losses, scores, rates); what it raises ends training.

    Raises:
        CheckpointError: there is nothing to resume, or it does not fit.
        ConfigError: a batch, or the validation images, are too few to give each process one.
        RankZeroFailedError: another process tells of one of these.
        TrainingDivergedError: the validation loss is absurd from the first epoch on; no model was saved.
        InterruptedTrainingError: training was asked to stop and has saved its state.
    """
    checkpoint = folder / CHECKPOINT
    if resume and not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint}: nothing to resume; leave out --resume to start the run")
    workers, size, ours = config.num_workers, config.batch_size, processes()
    val_loader = EvalLoader(val, batch_size=size, num_workers=workers, share=(ours.rank, ours.count))
    memory = memory or MemoryByStage(find_gpu())
    with ExitStack() as held:
        with rank_zero_first():
            logger = held.enter_context(open_logger(config.logger, folder, writes=ours.is_rank_zero))
        run = _Run(folder, config, search, trainer or TrainerConfig(), val_loader, memory, on_epoch, logger)
        resumed = _stage_of(checkpoint) if resume else None
        rows: list[dict[str, float]] = []
        if resumed != SelfCriticalModule.stage:
            rows = run.cross_entropy(captioner, train, val, retention, checkpoint if resume else None)
        if self_critical is not None and self_critical.epochs:
            start = checkpoint if resumed == SelfCriticalModule.stage else None
            rows = run.self_critical(captioner, train, val, self_critical, rows, start)
    if calibrate and ours.is_rank_zero:
        with memory.stage("calibration"):
            whole = EvalLoader(val, batch_size=size, num_workers=workers)
            calibrate_model(folder, whole, val.images, search)
    barrier()
    return TrainingResult(rows)


def _rewarded(
    train: CaptionDataset, config: SelfCriticalConfig, captioner: Captioner
) -> tuple[CaptionDataset, CaptionReward]:
    """The images of self-critical training, and the reward of captions drawn for them.

    Raises:
        ConfigError: no image has enough references.
    """
    references = [i.references if config.references == "person" else i.captions for i in train.images]
    chosen = [number for number, of in enumerate(references) if len(of) >= config.min_references]
    if not chosen:
        raise ConfigError(
            f"self-critical training: no training image has {config.min_references} captions to compare with;"
            " lower self_critical.min_references"
        )
    if len(chosen) < len(references):
        log.info(
            "Self-critical training leaves out %s of %s images: fewer than %d captions to compare with",
            f"{len(references) - len(chosen):,}",
            f"{len(references):,}",
            config.min_references,
        )
        train = train.subset(chosen)
    return train, CaptionReward([references[number] for number in chosen], captioner.vocabulary)


@dataclass(frozen=True)
class _Run:
    """The state that the stages of a run share."""

    folder: Path
    config: TrainingConfig
    search: SearchConfig
    trainer: TrainerConfig
    val_loader: DataLoader[Any]
    memory: MemoryByStage
    on_epoch: OnEpoch | None
    logger: RunLogger

    def loader(self, train: CaptionDataset, val: CaptionDataset) -> CaptionLoader:
        """This process's share of the training batches.

        Raises:
            ConfigError: there is not work for all processes.
        """
        config, ours = self.config, processes()
        loader = CaptionLoader(
            train,
            batch_size=config.batch_size,
            seed=config.seed,
            num_workers=config.num_workers,
            share=(ours.rank, ours.count),
        )
        with rank_zero_first():
            _require_work_for_all(len(train) // len(loader), len(val))
        return loader

    def cross_entropy(
        self,
        captioner: Captioner,
        train: CaptionDataset,
        val: CaptionDataset,
        retention: Retention | None,
        checkpoint: Path | None,
    ) -> list[dict[str, float]]:
        """The first stage; see `stage`."""
        parts = (captioner, self.config, self.search, val.images, self.loader(train, val))
        module = CaptionModule(*parts) if retention is None else FineTuningModule(*parts, retention)
        return self.stage(module, self.config.epochs, [], checkpoint, _early_stopping(self.config))

    def self_critical(
        self,
        captioner: Captioner,
        train: CaptionDataset,
        val: CaptionDataset,
        settings: SelfCriticalConfig,
        rows: list[dict[str, float]],
        checkpoint: Path | None,
    ) -> list[dict[str, float]]:
        """The second stage, from the best model of the first one, or from `checkpoint`; see `stage`."""
        rewarded, reward = _rewarded(train, settings, captioner)
        loader = self.loader(rewarded, val)
        if checkpoint is None:
            log.info(
                "Self-critical training, from the best model so far (epoch %.0f)", _best_of(rows)["epoch"]
            )
            barrier()  # process 0 may still be writing it
            best = Captioner.load(str(self.folder), device=torch.device("cpu"))
            captioner.decoder.load_state_dict(best.decoder.state_dict())
        policy = SelfCriticalModule(captioner, self.config, self.search, val.images, loader, settings, reward)
        return self.stage(policy, settings.epochs, rows, checkpoint, [])

    def stage(
        self,
        module: CaptionModule,
        epochs: int,
        rows: list[dict[str, float]],
        checkpoint: Path | None,
        more: list[Callback],
    ) -> list[dict[str, float]]:
        """Train, from `checkpoint` where one is given; returns `rows` and those of its epochs."""
        if checkpoint is not None:
            section = "self_critical" if isinstance(module, SelfCriticalModule) else "training"
            state = AtomicCheckpointIO().load_checkpoint(checkpoint)
            check_checkpoint(checkpoint, state, module, f"{section}.epochs", epochs)
        to_beat = module.objective(_best_of(rows)) if rows else math.inf
        best = SaveBest(self.folder, to_beat)
        shown = self.config.logged_photos
        history = History(self.folder, best, self.memory, rows, self.on_epoch, self.logger, shown)
        last = CheckpointLast(self.folder, self.config.checkpoint_minutes)
        callbacks: list[Callback] = [
            *self._guard(module, history),
            best,
            history,
            Progress(),
            TrimMemory(),
            *more,
            last,
        ]  # the last one saves the state of the others
        with quiet_lightning(), last.catching_signals():
            trainer = self._make_trainer(epochs, callbacks)
            try:
                trainer.fit(module, module.loader, self.val_loader, ckpt_path=checkpoint)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                if checkpoint is None or history.has_begun:
                    raise
                reason = shorten(f"{type(error).__name__}: {error}", 240)
                raise CheckpointError(f"{checkpoint}: damaged ({reason}); start a new run") from error
        return history.rows

    def _guard(self, module: CaptionModule, history: History) -> list[Callback]:
        """Callbacks that stop a diverging cross-entropy training; with rewards, the loss may rise."""
        if isinstance(module, SelfCriticalModule):
            return []
        return [
            StopDivergence(
                lambda: [row["val_loss"] for row in history.rows], patient=not self.config.patience
            )
        ]

    def _make_trainer(self, epochs: int, callbacks: list[Callback]) -> Trainer:
        device = pick_device()
        devices, nodes = devices_and_nodes(self.trainer)
        low = compute_dtype(self.config.precision, device) == torch.bfloat16
        return Trainer(
            accelerator=accelerator_of(device),
            devices=devices if device.index is None else [device.index],
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            use_distributed_sampler=False,  # our loaders know their share
            precision="bf16-mixed" if low else "32-true",
            max_epochs=epochs,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
        )


def _require_work_for_all(smallest_batch: int, val_images: int) -> None:
    count = processes().count
    if smallest_batch < count:
        raise ConfigError(
            f"batches of {smallest_batch} images are too small for {count} processes: raise"
            " training.batch_size, or lower trainer.devices"
        )
    if val_images < count:
        raise ConfigError(f"{val_images} validation images for {count} processes: lower trainer.devices")


def _best_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """The epoch whose model was saved last."""
    return next(row for row in reversed(rows) if row["saved"])


def _stage_of(checkpoint: Path) -> str:
    """The stage that a checkpoint was written in."""
    return str(AtomicCheckpointIO().load_checkpoint(checkpoint)["showtell"].get("stage", ""))


class _OwnPatience(EarlyStopping):
    """Early stopping with the patience of the settings, also where a run that had another is resumed."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})


def _early_stopping(config: TrainingConfig) -> list[Callback]:
    return [_OwnPatience("val_loss", patience=config.patience)] if config.patience else []
