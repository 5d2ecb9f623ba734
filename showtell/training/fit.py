"""Train a captioner: cross-entropy or fine-tuning, self-critical training, distillation; then calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.config import DistillationConfig, SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset, CaptionLoader, EvalLoader
from showtell.decoder import RNNDecoder, single_decoder
from showtell.errors import ConfigError
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

    First by cross-entropy: the best model has the lowest validation loss. Then, where it is asked for, by
    self-critical training, which starts from that model and replaces it by one of a higher validation CIDEr;
    then, where there are teachers, by distillation, which goes on in the same way.
    Of several datasets (`CaptionedImage.dataset`), loss and CIDEr are the means of theirs.
    At the end the confidence of the best model is calibrated on the validation images.

    Processes that were started together (`start_processes`) all call it with the same arguments; process 0
    writes the files.

    Args:
        captioner: the model; trained in place: in the end it is the best one.
        train: training images.
        val: validation images.
        config: the optimisation.
        search: settings of the search for captions in validation.
        folder: gets the model, the checkpoint, history.csv, curves and the files of the logger.
        self_critical: the second stage; None, or no epochs, to leave it out.
        distillation: the third stage, which takes teachers.
        teachers: decoders for the same features and the same vocabulary (`load_teachers`); they do not
            learn.
        resume: go on from `folder`/last.ckpt; the losses are those of a run that was never interrupted.
        memory: gets what training and validation take of the GPU.
        calibrate: do this last step.
        retention: what is kept of the model that training starts from.
        on_epoch: called with the row of each epoch (losses, scores, rates); what it raises ends training.
        on_start: called once, with the name of the first stage that trains, when all has been checked.

    Raises:
        CheckpointError: there is nothing to resume, or it does not fit.
        ConfigError: a batch, or the validation images, are too few to give each process one.
        RankZeroFailedError: another process tells of one of these.
        TrainingDivergedError: the validation loss has diverged from the first epoch on; no model was saved.
        InterruptedTrainingError: training was asked to stop and has saved its state.
    """
    state, saved = TrainingState(CrossEntropy.stage), None
    if resume:
        with rank_zero_first():
            saved = load_checkpoint(folder / CHECKPOINT, captioner.vocabulary)
        state = saved.state
    loader = _training_loader(train, config, len(val))
    info = world()
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
        if state.stage == CrossEntropy.stage:
            parts = captioner, config, train.caption_weights
            objective = CrossEntropy(*parts) if retention is None else FineTuning(*parts, retention)
            train_stage(Stage(context, objective, loader, config.epochs, state, saved))
        if self_critical is not None and self_critical.epochs and state.stage != Distillation.stage:
            state = _train_self_critical(context, train, self_critical, state, saved)
        if distillation is not None and teachers:
            state = _distill(context, train, distillation, teachers, state, saved)
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


def _training_loader(train: CaptionDataset, config: TrainingConfig, val_images: int) -> CaptionLoader:
    """Batches of training images, of which each process gets its share.

    Raises:
        ConfigError: they, or the validation images, are too few to give each process one.
        RankZeroFailedError: in another process than the first.
    """
    info, size = world(), config.batch_size
    loader = CaptionLoader(
        train,
        batch_size=size,
        seed=config.seed,
        num_workers=config.num_workers,
        rank=info.rank,
        world_size=info.world_size,
    )
    with rank_zero_first():
        smallest = loader.epochs.size // len(loader)
        if smallest < info.world_size:
            raise ConfigError(
                f"batches of {smallest} images are too small for {info.world_size} processes: raise"
                " training.batch_size, or lower trainer.devices"
            )
        if val_images < info.world_size:
            raise ConfigError(
                f"{val_images} validation images for {info.world_size} processes: lower trainer.devices"
            )
    return loader


def _train_self_critical(
    context: TrainingContext,
    train: CaptionDataset,
    policy: SelfCriticalConfig,
    state: TrainingState,
    saved: Checkpoint | None,
) -> TrainingState:
    """Train from the best model so far, or go on from `saved`; returns where training is then."""
    captioner, config = context.captioner, context.config
    rewarded, reward = _rewarded(train, policy, captioner)
    loader = _training_loader(rewarded, config, len(context.val_loader.captions))
    state, saved = _stage_state(context, SelfCritical.stage, state, saved)
    objective = SelfCritical(captioner, config, rewarded.caption_weights, policy, reward)
    train_stage(Stage(context, objective, loader, policy.epochs, state, saved))
    return state


def _distill(
    context: TrainingContext,
    train: CaptionDataset,
    config: DistillationConfig,
    teachers: Sequence[RNNDecoder],
    state: TrainingState,
    saved: Checkpoint | None,
) -> TrainingState:
    """Distill teachers into the best model so far, or go on from `saved`; returns where training is then."""
    images = distillation_images(train, len(teachers))
    loader = _training_loader(images, context.config, len(context.val_loader.captions))
    state, saved = _stage_state(context, Distillation.stage, state, saved)
    objective = Distillation(context.captioner, context.config, config, teachers)
    train_stage(Stage(context, objective, loader, config.epochs, state, saved))
    return state


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
    return TrainingState(stage, rows=state.rows), None


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
