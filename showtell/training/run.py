"""A training run: from the settings to the trained model in its folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
import yaml

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import find_run, last_run, run_folder
from showtell.config import (
    SECTIONS,
    CacheConfig,
    DataConfig,
    DatasetConfig,
    DecoderConfig,
    DistillationConfig,
    EncoderConfig,
    FeatureMode,
    FineTuningConfig,
    RunConfig,
    SearchConfig,
    SelfCriticalConfig,
    TrainerConfig,
    TrainingConfig,
)
from showtell.data.prepare import PreparedData, prepare_data
from showtell.data.summary import log_summary, warn_of_few_images
from showtell.errors import ConfigError
from showtell.training.distillation import load_teachers
from showtell.training.distributed import broadcast_object, rank_zero_first, start_processes, world
from showtell.training.fit import TrainingResult, fit
from showtell.training.initial_model import NONE, Initial, encoder_of, load_initial
from showtell.training.loggers import require_logger
from showtell.training.resuming import (
    read_settings,
    refuse_past_stages,
    resumed_settings,
    with_settings_of,
)
from showtell.training.setup import caption_sets, image_source, new_captioner
from showtell.training.vocabulary_extension import extended_captioner, init_new_word_embeddings
from showtell.utils.devices import log_gpu_memory
from showtell.utils.files import write_atomic
from showtell.utils.gpu_memory import MemoryByStage, find_gpu
from showtell.utils.keywords import suggests_keywords
from showtell.utils.runs import CONFIG, resolve_last
from showtell.utils.tables import data_frame, text_table

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

S = TypeVar("S")

_COLUMNS = ("train_loss", "reward", "divergence", "val_loss", "BLEU-4", "CIDEr")
"""Columns of the table of a run, after the epoch."""


@dataclass(frozen=True)
class TrainingRun:
    """A run that has been trained.

    Attributes:
        folder: of the run; `showtell.load` opens its model.
        captioner: the model that was saved.
        result: losses and scores of each epoch.
        config: the settings, as the run has settled them.
        data: what it was trained on.
        minutes: that the run took.
        memory: peak of the GPU memory by stage, as text; empty without a GPU.
    """

    folder: Path
    captioner: Captioner = field(repr=False)
    result: TrainingResult
    config: RunConfig = field(repr=False)
    data: PreparedData = field(repr=False)
    minutes: float
    memory: str = ""

    @property
    def epochs(self) -> list[dict[str, float]]:
        """Losses, scores and rates of each epoch."""
        return self.result.epochs

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose model was saved last."""
        return self.result.best

    def load(self) -> Captioner:
        """The model that was saved, read from its file."""
        return Captioner.load(str(self.folder))

    def __str__(self) -> str:
        columns = [name for name in _COLUMNS if any(name in row for row in self.epochs)]
        rows = [
            [
                f"{row['epoch']:.0f}",
                *(f"{row[name]:.4f}" if name in row else "" for name in columns),
                "*" if row["saved"] else "",
            ]
            for row in self.epochs
        ]
        table = text_table(["epoch", *columns, "saved"], rows)
        return f"{self.folder}: {self.minutes:.1f} min, best epoch {self.best['epoch']:.0f}\n{table}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values: folder, minutes, settings, `best` and `epochs`."""
        return {
            "folder": str(self.folder),
            "minutes": self.minutes,
            "config": yaml.safe_load(settings_yaml(self.config)),
            "best": dict(self.best),
            "epochs": [dict(row) for row in self.epochs],
        }

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row for each epoch.

        Raises:
            UsageError: pandas is not installed.
        """
        return data_frame(self.epochs)


def _hints() -> dict[str, str]:
    """Name of a setting -> the argument of `train` that has it."""
    return {
        setting.name: f"{section}=showtell.{SECTIONS[section].__name__}({setting.name}=...)"
        for section in reversed(_SEARCHED)
        for setting in fields(SECTIONS[section])
    }


_SEARCHED: Final = tuple(dict.fromkeys(["training", "search", *SECTIONS]))
"""Sections in which a setting is looked for, in this order."""


@suggests_keywords(_hints)
def train(
    data: str | os.PathLike[str] | Sequence[str | DatasetConfig | dict[str, Any]] | DataConfig | None = None,
    out: str | os.PathLike[str] = RunConfig.out,
    *,
    init: str | os.PathLike[str] = RunConfig.init,
    encoder: EncoderConfig | None = None,
    features: FeatureMode = RunConfig.features,
    cache: CacheConfig | None = None,
    decoder: DecoderConfig | None = None,
    training: TrainingConfig | None = None,
    finetune: FineTuningConfig | None = None,
    trainer: TrainerConfig | None = None,
    self_critical: SelfCriticalConfig | None = None,
    distillation: DistillationConfig | None = None,
    search: SearchConfig | None = None,
    resume: bool | str | os.PathLike[str] = False,
) -> TrainingRun:
    """Train a captioner; the best model is `out`/model.safetensors.

    Several processes train together as `trainer` says: started by torchrun or srun, else by running the
    script that calls this again.

    Args:
        data: the dataset's folder or annotation file, a list of several, or a `DataConfig`; None for the
            built-in dataset of synthetic scenes.
        out: folder of the run. Where it holds a run already, the next free one of `out`-2, `out`-3, ...
        init: model to start from: a run, a folder in models/, a hub id, or `none` to train from scratch.
            `auto`: the included model, if there are fewer than 3,000 training images.
        encoder: the frozen image encoder.
        features: `cached`: computed once and stored; `memory`: computed once and kept in the memory of the
            device; `auto`: `memory` on a GPU that has room, else `cached`; `online`: computed in every epoch,
            from random crops (slow).
        cache: the cache of image features.
        decoder: the recurrent decoder.
        training: the optimisation.
        finetune: replaces the defaults of `training` if training starts from a model.
        trainer: the processes that train together.
        self_critical: self-critical training, after cross-entropy training.
        distillation: distillation from other models, the last stage.
        search: how captions are searched in validation.
        resume: continue a run that was stopped or killed: its folder, or True for the last one of `out`,
            `out`-2, ... Settings that are left out are the run's own.

    Raises:
        ConfigError: a setting is out of range, of another type, or cannot change within a run.
        ShowtellError: the data or the model to start from cannot be used.
        TrainingDivergedError: the validation loss has diverged from the first epoch on; no model was saved.
        InterruptedTrainingError: training was asked to stop (Ctrl-C, SIGTERM) and has saved its state.
        RankZeroFailedError: on the other ranks, if rank 0 has raised one of these.
    """
    config = RunConfig(
        init=os.fspath(init),
        data=_to_data_config(data),
        encoder=_section("encoder", encoder, EncoderConfig),
        features=features,
        cache=_section("cache", cache, CacheConfig),
        decoder=_section("decoder", decoder, DecoderConfig),
        training=_section("training", training, TrainingConfig),
        finetune=_section("finetune", finetune, FineTuningConfig),
        trainer=_section("trainer", trainer, TrainerConfig),
        self_critical=_section("self_critical", self_critical, SelfCriticalConfig),
        distillation=_section("distillation", distillation, DistillationConfig),
        search=_section("search", search, SearchConfig),
        out=os.fspath(out),
    )
    if resume is False:
        return train_run(config)
    folder = last_run(config.out_dir) if resume is True else find_run(os.fspath(resume))
    return train_run(with_settings_of(read_settings(folder), config), resume=folder)


def train_run(config: RunConfig, *, resume: Path | None = None) -> TrainingRun:
    """Train as the settings of a whole run say.

    Args:
        config: the settings.
        resume: the folder of the run to continue, whose settings these are (some may have changed).

    Raises:
        ShowtellError: see `train`.
    """
    started = time.monotonic()
    if not start_processes(config.trainer).is_rank_zero:  # process 0 logs for all
        logging.getLogger("showtell").setLevel(logging.ERROR)
    with ExitStack() as held:  # the run's folder is locked until the end
        return _train(config, started, held, resume=resume)


def _train(config: RunConfig, started: float, held: ExitStack, *, resume: Path | None) -> TrainingRun:
    """Train, in each of the processes that were started; `held` keeps the run's folder locked."""
    memory = MemoryByStage(find_gpu())
    folder = resume or config.out_dir
    changes: list[str] = []
    with rank_zero_first():
        require_logger(config.training.logger)
        if world().is_rank_zero:
            config = with_last_named(config)
            folder = held.enter_context(run_folder(folder, resume=resume is not None))
            if resume:
                config, changes = resumed_settings(read_settings(folder), config, folder)
            elif folder != config.out_dir:
                log.info(
                    "%s already contains a run; writing to %s (--resume %s continues the old run)",
                    *(config.out_dir, folder, config.out_dir),
                )
    folder, config = broadcast_object(folder), broadcast_object(config)
    with rank_zero_first():
        data = prepare_data(config.data, Path(config.cache.dir))
        initial = load_initial(config, data)
        config = replace(config, data=replace(config.data, min_count=data.min_count))
        config = replace(config, init=NONE) if initial is None else initial.run_config(config)
    if initial is not None and config.training.epochs:
        log.info(
            "Fine-tuning: %d epochs at most (patience %d), batches of %d images, learning rate %g",
            *(config.training.epochs, config.training.patience),
            *(config.training.batch_size, config.training.learning_rate),
        )
    log_summary(data)
    warn_of_few_images(data, config)
    if changes:
        log.info("Settings of %s that change: %s", folder, "; ".join(changes))
    if world().is_rank_zero and not resume:
        write_atomic(folder / CONFIG, settings_yaml(config))

    def on_start(stage: str) -> None:
        with rank_zero_first():  # which alone knows the changes
            refuse_past_stages(stage, changes)
            if changes:
                write_atomic(folder / CONFIG, settings_yaml(config))

    captioner, result = _fit(config, data, initial, folder, memory, on_start, resume=resume is not None)
    minutes = (time.monotonic() - started) / 60
    return TrainingRun(folder, captioner, result, config, data, minutes, memory.summary())


def with_last_named(config: RunConfig) -> RunConfig:
    """The settings with the newest run's name in place of `last`, which is another one later."""
    teachers = [resolve_last(name) for name in config.distillation.teachers]
    distillation = replace(config.distillation, teachers=teachers)
    return replace(config, init=resolve_last(config.init), distillation=distillation)


def settings_yaml(config: RunConfig) -> str:
    """The settings of a run as YAML, which `--config` takes."""
    values = asdict(config)
    values["cache"]["views"] = list(config.cache.views)  # YAML has no tuples
    return yaml.safe_dump(values, sort_keys=False)


def _fit(
    config: RunConfig,
    data: PreparedData,
    initial: Initial | None,
    folder: Path,
    memory: MemoryByStage,
    on_start: Callable[[str], None],
    *,
    resume: bool,
) -> tuple[Captioner, TrainingResult]:
    """Make the captioner, extract the features, train."""
    torch.manual_seed(config.training.seed)
    captioner = _new_or_extended(config, data, initial)
    with rank_zero_first():
        teachers = load_teachers(config.distillation, captioner)
    log.info(
        "Decoder %s (%s): %.1f M weights; encoder %s: frozen",
        config.decoder.kind,
        config.decoder.cell,
        sum(p.numel() for p in captioner.decoder.parameters()) / 1e6,
        config.encoder.weights,
    )
    log_gpu_memory("before training")
    with rank_zero_first(), memory.stage("features"):
        load, images = image_source(config, captioner.encoder, data.train + data.val)
    train, val = caption_sets(config, images, captioner.vocabulary, load)
    if initial is not None:  # a resumed run also needs the weights that it started from
        init_new_word_embeddings(captioner, initial.decoder, train)
    result = fit(
        captioner,
        train,
        val,
        config.training,
        config.search,
        folder,
        self_critical=config.self_critical,
        distillation=config.distillation,
        teachers=teachers,
        memory=memory,
        resume=resume,
        retention=initial.retention(config.finetune) if initial else None,
        on_start=on_start,
    )
    return captioner, result


def _new_or_extended(config: RunConfig, data: PreparedData, initial: Initial | None) -> Captioner:
    """A captioner with fresh weights, or the initial model with the words that it lacks."""
    if initial is None:
        return new_captioner(config, encoder_of(config.encoder, None), data.vocabulary)
    captioner = extended_captioner(initial.captioner, data.vocabulary.words, config.decoder.dropout)
    known = len(initial.captioner.vocabulary)
    log.info(
        "Starting from %s: its %s words and %s new ones",
        initial.name,
        f"{known:,}",
        f"{len(captioner.vocabulary) - known:,}",
    )
    return captioner


def _to_data_config(
    data: str | os.PathLike[str] | Sequence[str | DatasetConfig | dict[str, Any]] | DataConfig | None,
) -> DataConfig:
    """The data that `train` is given as settings.

    Raises:
        ConfigError: they are of another type.
    """
    if data is None or isinstance(data, DataConfig):
        return data or DataConfig()
    if isinstance(data, str | os.PathLike):
        return DataConfig(root=os.fspath(data))
    if isinstance(data, list | tuple):
        return DataConfig(root=[os.fspath(item) if isinstance(item, os.PathLike) else item for item in data])
    raise ConfigError(
        f"data is of type {type(data).__name__}; give a folder, a list of folders or a DataConfig"
    )


def _section(name: str, value: S | None, kind: type[S]) -> S:
    """A section of the settings, or its defaults.

    Raises:
        ConfigError: it is of another type.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ConfigError(
            f"{name} is of type {type(value).__name__}; give {name}=showtell.{kind.__name__}(...)"
        )
    return value
