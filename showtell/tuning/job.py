"""A tuning job: what the processes of a study share, and the training of its trials."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import optuna
import torch

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_folder import HISTORY
from showtell.config import RunConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset, LoadImage
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import Vocabulary
from showtell.training.fit import TrainingResult, fit
from showtell.training.initial_model import NONE, Initial, encoder_of
from showtell.training.loop import OnEpoch
from showtell.training.setup import caption_sets, new_captioner
from showtell.training.vocabulary_extension import extended_captioner, init_new_word_embeddings
from showtell.tuning.space import Metric, SearchSpace
from showtell.tuning.study import ReportIntermediate, TrialResult, open_study, run_trials, storage_errors

_NOTES = ("epoch", "val_loss", "CIDEr", "BLEU-4", "captions_per_second")
"""Values of a trial's best epoch that the study keeps."""


@dataclass(frozen=True)
class TuningJob:
    """The arguments of a process that runs trials.

    Attributes:
        config: the settings that are not searched; `init` is the name of a model, or `none`.
        space: the search space, as YAML.
        folder: of the study.
        storage: URL of the study's database.
        settings: identifies settings, space and images: a study is not continued with others.
        metric: score of a trial's saved model that is optimised.
        trials: number of trials of the whole study.
        threads: CPU threads of a process.
        images: training and validation images of the trials.
        vocabulary: of the training captions.
        load: loads an image or its features.
    """

    config: RunConfig
    space: str
    folder: Path
    storage: str = field(repr=False)  # it may hold a password
    settings: str
    metric: Metric
    trials: int
    threads: int
    images: list[CaptionedImage]
    vocabulary: Vocabulary
    load: LoadImage

    def open_study(self, seed: int = 0) -> optuna.Study:
        """Create the study, or open the one that is there."""
        direction: Literal["minimize", "maximize"] = "minimize" if self.metric == "val_loss" else "maximize"
        epochs = training_settings(self.config).epochs + self.config.self_critical.epochs
        return open_study(self.storage, self.folder.name, direction, self.settings, epochs=epochs, seed=seed)


def training_settings(config: RunConfig) -> TrainingConfig:
    """The optimisation settings of a trial: those of `finetune` too, if it starts from a model."""
    return config.training if config.init == NONE else config.finetune.applied_to(config.training)


def run_job(job: TuningJob, seed: int) -> None:
    """Run trials until the study has enough.

    Args:
        job: the job.
        seed: of the sampler of this process.
    """
    torch.set_num_threads(job.threads)
    for name in ("showtell.training", "showtell.features.extraction"):
        logging.getLogger(name).setLevel(logging.WARNING)
    trainer = _Trainer(job)
    study = job.open_study(seed)
    with storage_errors(job.storage):
        run_trials(study, SearchSpace.read(job.space, job.config), job.config, trainer.train, job.trials)


class _Trainer:
    """Trains the trials of a job, from scratch or from its initial model."""

    def __init__(self, job: TuningJob) -> None:
        self._job, self._vocabulary = job, job.vocabulary
        self._initial: Initial | None = None
        if job.config.init != NONE:
            self._initial = Initial.load(job.config.init, job.config.encoder.precision)
            self._vocabulary = self._initial.captioner.vocabulary.extended(job.vocabulary.words)
        self._encoder = encoder_of(job.config.encoder, self._initial)
        self._sets: tuple[CaptionDataset, CaptionDataset] = caption_sets(
            job.config, job.images, self._vocabulary, job.load
        )

    def train(self, config: RunConfig, number: int, report: ReportIntermediate) -> TrialResult:
        """Train the model of a trial."""
        folder, metric = self._job.folder / "trials" / f"{number:04}", self._job.metric
        try:
            result = self._fit(config, folder, lambda row: report(int(row["epoch"]), row[metric]))
        finally:
            _delete_models(folder)
        best = result.best
        return TrialResult(best[metric], {name: best[name] for name in _NOTES if name in best})

    def _fit(self, config: RunConfig, folder: Path, on_epoch: OnEpoch) -> TrainingResult:
        torch.manual_seed(config.training.seed)
        return fit(
            self._new_captioner(config),
            *self._sets,
            training_settings(config),
            config.search,
            folder,
            self_critical=config.self_critical,
            calibrate=False,
            retention=self._initial.retention(config.finetune) if self._initial else None,
            on_epoch=on_epoch,
        )

    def _new_captioner(self, config: RunConfig) -> Captioner:
        """A captioner with fresh weights, or a copy of the initial model with the words that it lacks."""
        if self._initial is None:
            return new_captioner(config, self._encoder, self._vocabulary)
        captioner = extended_captioner(
            self._initial.captioner, self._job.vocabulary.words, config.decoder.dropout
        )
        init_new_word_embeddings(captioner, self._initial.decoder, self._sets[0])
        return captioner


def _delete_models(folder: Path) -> None:
    """Delete the model and the checkpoint of a trial, which are large."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != HISTORY:
            path.unlink()
