"""Train a captioner: cross-entropy or fine-tuning, self-critical training, distillation; then calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.config import DistillationConfig, SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset, CaptionLoader, EvalLoader
from showtell.decoder import RNNDecoder, single_decoder
from showtell.errors import CheckpointError, ConfigError
from showtell.training.calibration import calibrate_model
from showtell.training.checkpointing import (
    Checkpoint,
    StopSignals,
    TrainingState,
    load_best_weights,
    load_checkpoint,
)
from showtell.training.cross_entropy import CrossEntropy
from showtell.training.distillation import Distillation, distillation_images
from showtell.training.distributed import barrier, rank_zero_first, world
from showtell.training.finetuning import FineTuning, Retention
from showtell.training.history import best_of
from showtell.training.loggers import open_logger
from showtell.training.loop import OnEpoch, Stage, TrainingContext, train_stage
from showtell.training.self_critical import CaptionReward, SelfCritical
from showtell.training.validation import validate
from showtell.utils.gpu_memory import MemoryByStage, find_gpu

log = logging.getLogger(__name__)

_SETTINGS: Final = {kind.stage: kind.settings for kind in (CrossEntropy, SelfCritical, Distillation)}
"""The stages of training in their order, and the section of the settings that has their epochs."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of training.

    Attributes:
        epochs: one dictionary per epoch: losses, scores, rates.
    """

    epochs: list[dict[str, float]]

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose model was saved last."""
        return best_of(self.epochs)

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
    distillation: DistillationConfig | None = None,
    teachers: Sequence[RNNDecoder] = (),
    resume: bool = False,
    memory: MemoryByStage | None = None,
    calibrate: bool = True,
    retention: Retention | None = None,
    on_epoch: OnEpoch | None = None,
    on_start: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train the decoder of `captioner`; the best model is `folder`/model.safetensors.

    The first stage is cross-entropy training; its best model has the lowest validation loss. Self-critical
    training, if enabled, starts from that model and replaces it by one of higher validation CIDEr.
    Distillation, if there are teachers, does the same. With several datasets (`CaptionedImage.dataset`), loss
    and CIDEr are averaged over them. At the end the confidence of the best model is calibrated on the
    validation images.

    All ranks (`start_processes`) call it with the same arguments; rank 0 writes the files.

    Args:
        captioner: the model; trained in place, and has the best weights in the end.
        train: training images.
        val: validation images.
        config: the optimisation.
        search: settings of the search for captions in validation.
        folder: for the model, the checkpoint, history.csv, curves and the files of the logger.
        self_critical: the second stage; None, or no epochs, to skip it.
        distillation: the third stage, which needs teachers.
        teachers: decoders for the same features and the same vocabulary (`load_teachers`), which are not
            trained.
        resume: continue from `folder`/last.ckpt; the losses are those of an uninterrupted run.
        memory: records the GPU memory of training and validation.
        calibrate: calibrate the confidence at the end.
        retention: the initial model of fine-tuning, and how strongly it is retained.
        on_epoch: called with the row of each epoch (losses, scores, rates); what it raises ends training.
        on_start: called once, with the name of the first stage that trains, when all has been checked.

    Raises:
        CheckpointError: there is nothing to resume, or it does not fit.
        ConfigError: a batch, or the validation images, are too few to give each process one; or no image has
            enough captions for self-critical training.
        RankZeroFailedError: rank 0 has raised one of these.
        TrainingDivergedError: the validation loss has diverged from the first epoch on; no model was saved.
        InterruptedTrainingError: training was asked to stop and has saved its state.
    """
    info = world()
    with rank_zero_first():
        plans = _plan_stages(captioner, train, config, self_critical, distillation, teachers, retention)
        for plan in plans:
            _check_shares(plan.loader, len(val))
        initial = weights_fingerprint(retention.teacher.state_dict()) if retention else ""
        saved = _load_state(folder / CHECKPOINT, captioner, plans, initial) if resume else None
    state = saved.state if saved else TrainingState(CrossEntropy.stage, initial=initial)
    val_loader = EvalLoader(
        val,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        rank=info.rank,
        world_size=info.world_size,
    )
    memory = memory or MemoryByStage(find_gpu())
    with ExitStack() as held:
        with rank_zero_first():
            logger = held.enter_context(open_logger(config.logger, folder, writes=info.is_rank_zero))
        signals = held.enter_context(StopSignals())
        context = TrainingContext(
            captioner, val_loader, config, search, folder, memory, signals, logger, on_epoch, on_start
        )
        past = list(_SETTINGS)[: list(_SETTINGS).index(state.stage)]
        for plan in plans:
            if plan.name not in past:
                state, saved = _stage_state(context, plan.name, state, saved)
                train_stage(Stage(context, plan.make_objective(), plan.loader, plan.epochs, state, saved))
    barrier()  # process 0 may still be writing the best model
    load_best_weights(single_decoder(captioner.decoder), folder)
    captioner.eval()
    if calibrate:
        with memory.stage("calibration"):
            captions = context.captions or validate(captioner, val_loader, search, config.precision).captions
            if info.is_rank_zero:
                calibrate_model(captioner, folder, captions, val.images)
        barrier()
    return TrainingResult(state.rows)


@dataclass(frozen=True)
class _StagePlan:
    """A stage of training: its name, epochs and batches, and how its objective is made when it begins."""

    name: str
    epochs: int
    loader: CaptionLoader
    make_objective: Callable[[], CrossEntropy]


def _plan_stages(
    captioner: Captioner,
    train: CaptionDataset,
    config: TrainingConfig,
    self_critical: SelfCriticalConfig | None,
    distillation: DistillationConfig | None,
    teachers: Sequence[RNNDecoder],
    retention: Retention | None,
) -> list[_StagePlan]:
    """The stages in their order; made before the first, so that errors of a later one are raised at once.

    Raises:
        ConfigError: no image has enough references for self-critical training.
    """
    objective = CrossEntropy if retention is None else partial(FineTuning, retention=retention)
    make: Callable[[], CrossEntropy] = partial(objective, captioner, config, train.caption_weights)
    plans = [_plan(CrossEntropy, config.epochs, train, config, make)]
    if self_critical is not None and self_critical.epochs:
        images, reward = _rewarded(train, self_critical, captioner)
        make = partial(SelfCritical, captioner, config, images.caption_weights, self_critical, reward)
        plans.append(_plan(SelfCritical, self_critical.epochs, images, config, make))
    if distillation is not None and teachers:
        images = distillation_images(train, len(teachers))
        make = partial(Distillation, captioner, config, distillation, teachers)
        plans.append(_plan(Distillation, distillation.epochs, images, config, make))
    return plans


def _plan(
    stage: type[CrossEntropy],
    epochs: int,
    train: CaptionDataset,
    config: TrainingConfig,
    make_objective: Callable[[], CrossEntropy],
) -> _StagePlan:
    """A stage on these images, of which each process gets its part of every batch."""
    info = world()
    loader = CaptionLoader(
        train,
        batch_size=config.batch_size,
        seed=config.seed,
        num_workers=config.num_workers,
        rank=info.rank,
        world_size=info.world_size,
    )
    return _StagePlan(stage.stage, epochs, loader, make_objective)


def _check_shares(loader: CaptionLoader, val_images: int) -> None:
    """Compare the images with the number of processes.

    Raises:
        ConfigError: a batch, or the validation images, are too few to give each process one.
    """
    size, smallest = world().world_size, loader.epochs.size // len(loader)
    if smallest < size:
        raise ConfigError(
            f"batches of {smallest} images are too small for {size} processes: raise"
            " training.batch_size, or lower trainer.devices"
        )
    if val_images < size:
        raise ConfigError(f"{val_images} validation images for {size} processes: lower trainer.devices")


def _load_state(path: Path, captioner: Captioner, plans: Sequence[_StagePlan], initial: str) -> Checkpoint:
    """The checkpoint of a run that is resumed with these stages.

    Args:
        path: the file.
        captioner: the model.
        plans: the stages.
        initial: fingerprint of the decoder that fine-tuning starts from.

    Raises:
        CheckpointError: there is none, it is damaged, or it is that of another model; or the model that
            fine-tuning started from has changed.
        ConfigError: its stage has been trained for more epochs already, or is left out.
    """
    saved = load_checkpoint(path, captioner.vocabulary)
    stage = saved.state.stage
    if stage not in _SETTINGS:
        raise CheckpointError(f"{path}: damaged (there is no stage of training {stage!r}); start a new run")
    if stage == CrossEntropy.stage and saved.state.initial not in ("", initial):
        raise CheckpointError(
            f"{path}: the model that this run started from has changed since; put it back, or start a new run"
        )
    epochs = sum(plan.epochs for plan in plans if plan.name == stage)
    if not epochs and (saved.state.epoch or saved.state.batch):
        raise ConfigError(
            f"this run is in {stage} training, which is left out here: resume it with the run's own"
            f" {_SETTINGS[stage]}.epochs{' and distillation.teachers' * (stage == Distillation.stage)}"
        )
    saved.check(single_decoder(captioner.decoder), f"{_SETTINGS[stage]}.epochs", epochs)
    return saved


def _stage_state(
    context: TrainingContext, stage: str, state: TrainingState, saved: Checkpoint | None
) -> tuple[TrainingState, Checkpoint | None]:
    """The state of a stage: where it was saved, or its start, with the weights of the best model so far."""
    if state.stage == stage:
        return state, saved
    if state.rows:
        epoch = best_of(state.rows)["epoch"]
        log.info("Next stage: %s, from the best model so far (epoch %.0f)", stage, epoch)
        barrier()  # process 0 may still be writing it
        load_best_weights(single_decoder(context.captioner.decoder), context.folder)
    return TrainingState(stage, rows=state.rows, initial=state.initial), None


def _rewarded(
    train: CaptionDataset, config: SelfCriticalConfig, captioner: Captioner
) -> tuple[CaptionDataset, CaptionReward]:
    """The images of self-critical training, and the reward of captions sampled for them.

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
