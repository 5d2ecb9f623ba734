"""The training loop: epochs of steps, each followed by validation."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.config import SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader, EvalLoader
from showtell.data.tokenizer import detokenize
from showtell.decoder import RNNDecoder
from showtell.errors import TrainingDivergedError
from showtell.training.checkpointing import (
    Checkpoint,
    InterruptedTrainingError,
    StopSignals,
    TrainingState,
    save_checkpoint,
)
from showtell.training.cross_entropy import CrossEntropy, StepLoss
from showtell.training.distributed import MeanLoss, all_reduce_sum, world
from showtell.training.divergence import check_divergence, has_diverged
from showtell.training.history import (
    best_of,
    gpu_memory,
    log_epoch,
    write_history,
)
from showtell.training.logged_photos import chosen_photos
from showtell.training.loggers import RunLogger
from showtell.training.progress import IntervalTimer, Progress
from showtell.training.validation import Predicted, Validation, validate
from showtell.utils.devices import autocast, pick_device
from showtell.utils.gpu_memory import MemoryByStage
from showtell.utils.malloc import malloc_trim

log = logging.getLogger(__name__)

OnEpoch = Callable[[dict[str, float]], None]
"""Takes the row of an epoch."""

TRIM_EVERY_SECONDS = 5.0
"""Varying batch shapes fragment the heap: seconds between calls of malloc_trim."""


@dataclass
class TrainingContext:
    """The state that the stages of training share.

    Attributes:
        val_loader: of this process's share of the validation images.
        on_start: called once, with the name of the first stage that trains, when all has been checked.
        captions: of the validation images, by the best model; None if a former process saved it.
    """

    captioner: Captioner
    val_loader: EvalLoader
    config: TrainingConfig
    search: SearchConfig
    folder: Path
    memory: MemoryByStage
    signals: StopSignals
    logger: RunLogger
    on_epoch: OnEpoch | None = None
    on_start: Callable[[str], None] | None = None
    captions: list[Predicted] | None = None

    @cached_property
    def checkpoint_timer(self) -> IntervalTimer:
        """Timer of the checkpoints within an epoch."""
        return IntervalTimer(60 * self.config.checkpoint_minutes)


class Stage:
    """A stage of training: cross-entropy or fine-tuning, self-critical training, distillation.

    Args:
        state: where training is; changed in place.
        resumed: the checkpoint that it was read from, if any.
    """

    def __init__(
        self,
        context: TrainingContext,
        objective: CrossEntropy,
        loader: CaptionLoader,
        epochs: int,
        state: TrainingState,
        resumed: Checkpoint | None = None,
    ) -> None:
        self.context, self.objective, self.loader, self.epochs, self.state = (
            context,
            objective,
            loader,
            epochs,
            state,
        )
        self.decoder: RNNDecoder = objective.to(pick_device()).decoder
        self.optimizer = adamw(self.decoder, context.config.weight_decay)
        if resumed is not None:
            resumed.restore(self.decoder, self.optimizer)
        self.loss: nn.Module = objective
        if world().world_size > 1:  # gradients are averaged over the processes while they are computed
            self.loss = DistributedDataParallel(objective)

    @property
    def checks_divergence(self) -> bool:
        """Whether the validation loss may end the stage: by rewards and by teachers, it may well rise."""
        return self.objective.stage == CrossEntropy.stage

    @property
    def step(self) -> int:
        """Number of complete steps of the stage."""
        return self.state.epoch * len(self.loader) + self.state.batch

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        objective = self.objective
        return objective.peak_rate * objective.lr_factor(self.step, self.epochs * len(self.loader))

    def save(self) -> None:
        """Save the training state; stop if any rank was asked to.

        Raises:
            InterruptedTrainingError: one was.
        """
        context, path = self.context, self.context.folder / CHECKPOINT
        save_checkpoint(path, self.state, self.decoder, self.optimizer, context.captioner.vocabulary)
        context.checkpoint_timer.restart()
        if any_rank(context.signals.stop_requested):
            raise InterruptedTrainingError(
                f"stopped; the training state is saved in {path}: continue with --resume"
            )


def train_stage(stage: Stage) -> None:
    """Train for all epochs of a stage, or until early stopping."""
    context, state, objective = stage.context, stage.state, stage.objective
    if context.on_start is not None:
        context.on_start(objective.stage)
        context.on_start = None
    if state.rows and not stage.step:  # before this stage replaces the best model of the one before
        stage.save()
    while state.epoch < stage.epochs and not is_over(stage):
        rates = train_epoch(stage)
        with objective.validated_weights():
            context.memory.begin()
            validation = validate(
                context.captioner, context.val_loader, context.search, context.config.precision
            )
            context.memory.end("validation")
            if stage.checks_divergence:
                losses = [row["val_loss"] for row in state.rows] + [validation.metrics["val_loss"]]
                check_divergence(losses, stage.decoder.vocab_size, context.config)
            saved = save_if_best(stage, validation)
        add_row(stage, validation, rates, saved=saved)
        state.epoch, state.batch, state.mean = state.epoch + 1, 0, MeanLoss()
        stage.save()


def is_over(stage: Stage) -> bool:
    """Whether a stage ends before its last epoch: it has diverged, or is out of patience.

    Raises:
        TrainingDivergedError: it has diverged, and no model was saved, in the stages before either.
    """
    state, config = stage.state, stage.context.config
    losses = [row["val_loss"] for row in state.rows]
    if stage.checks_divergence:
        return out_of_patience(state, config) or has_diverged(losses, stage.decoder.vocab_size, config)
    if state.epoch and not math.isfinite(losses[-1]):
        if not any(row["saved"] for row in state.rows):
            raise TrainingDivergedError(
                f"the validation loss is not a finite number after the first epoch of {stage.objective.stage}"
                f" training, and no model was saved; lower {stage.objective.settings}.learning_rate"
            )
        log.warning("the validation loss is not a finite number: %s is stopped", stage.objective.stage)
        return True
    return False


def train_epoch(stage: Stage) -> dict[str, float]:
    """Train on the remaining batches of an epoch; returns captions and images per second."""
    context, state, loader = stage.context, stage.state, stage.loader
    trim, device = IntervalTimer(TRIM_EVERY_SECONDS), pick_device()
    steps_left = stage.epochs * len(loader) - stage.step
    loader.start(state.epoch, state.batch)
    stage.decoder.train()
    context.memory.begin()
    with Progress(len(state.rows) + 1, len(loader), state.batch, steps_left) as progress:
        for batch in loader:
            loss = train_step(stage, batch.to(device))
            state.batch += 1
            state.mean.add(loss.value, loss.weight)
            progress.update(batch, loss.loss)
            if trim.due():
                malloc_trim()
            due = context.signals.stop_requested or context.checkpoint_timer.due()
            if any_rank(due) and state.batch < len(loader):  # after the last batch comes validation
                stage.save()
        context.memory.end(f"{stage.objective.stage} training")
        return progress.rates()


def train_step(stage: Stage, batch: CaptionBatch) -> StepLoss:
    """One optimizer step; nothing here synchronises with a GPU."""
    config, optimizer = stage.context.config, stage.optimizer
    # Dropout depends on the step, so that a resumed run drops what an uninterrupted one drops.
    torch.manual_seed((world().rank * 1_000_033 + config.seed) * 1_000_003 + stage.step)
    for group in optimizer.param_groups:
        group["lr"] = stage.learning_rate
    with autocast(config.precision):
        loss: StepLoss = stage.loss(batch, stage.step)
    optimizer.zero_grad()
    loss.loss.backward()
    if config.gradient_clip:
        nn.utils.clip_grad_norm_(stage.decoder.parameters(), config.gradient_clip)
    optimizer.step()
    return loss


def save_if_best(stage: Stage, validation: Validation) -> bool:
    """Save the model if it is better than all before, of the stages before too; never one that diverged."""
    context, rows, value = stage.context, stage.state.rows, stage.objective.monitored
    best = value(best_of(rows)) if rows else math.inf
    if not value(validation.metrics) < best or not math.isfinite(validation.metrics["val_loss"]):
        return False
    context.captions = validation.captions
    if world().is_rank_zero:
        context.captioner.save(context.folder)
    return True


def add_row(stage: Stage, validation: Validation, rates: dict[str, float], *, saved: bool) -> None:
    """Add the row of an epoch to the history."""
    context, state, metrics, metric = stage.context, stage.state, validation.metrics, stage.objective.metric
    row = {
        "epoch": float(len(state.rows) + 1),
        metric: state.mean.mean(),
        **{name: metrics[name] for name in sorted(metrics, key=lambda name: name.partition("/")[2])},
        "saved": float(saved),
        "learning_rate": stage.learning_rate,
        **rates,
        **gpu_memory(context.memory, (f"{stage.objective.stage} training", "validation")),
    }
    epochs = len(state.rows) - state.epoch + stage.epochs
    state.rows.append(row)
    if world().is_rank_zero:
        write_history(state.rows, context.folder)
        images, texts = (
            context.val_loader.captions.images,
            [detokenize(words) for words, _ in validation.captions],
        )
        context.logger.log_epoch(row, chosen_photos(images, texts, context.config.logged_photos))
    log_epoch(row, epochs, metric, len(context.val_loader.captions))
    if context.on_epoch is not None:
        context.on_epoch(row)


def out_of_patience(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether so many epochs have passed since a model was saved that training stops early."""
    saved = [row["saved"] for row in state.rows[-config.patience :]]
    return 0 < config.patience <= len(saved) and not any(saved)


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank: they save and stop together."""
    return all_reduce_sum(flag)[0] > 0


def adamw(decoder: RNNDecoder, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); only matrices decay. Each step sets its own learning rate."""
    matrices = [weight for weight in decoder.parameters() if weight.dim() > 1]
    others = [weight for weight in decoder.parameters() if weight.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
