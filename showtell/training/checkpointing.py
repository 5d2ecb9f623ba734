"""Checkpoints of the training state (last.ckpt), and the signals that stop training."""

from __future__ import annotations

import io
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from types import FrameType
from typing import Any, Final

import torch
from torch import Tensor, nn

from showtell.checkpoints.model_file import read_model
from showtell.checkpoints.tensor_files import misfit, read_pickled
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import RNNDecoder
from showtell.errors import CheckpointError, ConfigError, ShowtellError
from showtell.training.distributed import MeanLoss, world
from showtell.utils.files import write_atomic

log = logging.getLogger(__name__)

FORMAT: Final = "showtell training 2"
"""Written into each checkpoint. Those of the first format were written by Lightning's Trainer."""


class InterruptedTrainingError(ShowtellError):
    """Training was asked to stop (Ctrl-C, SIGTERM), and has saved its state."""

    exit_code = 130


@dataclass
class TrainingState:
    """The position of training; batches and random numbers depend on it and the seed alone.

    Attributes:
        stage: of training: `cross-entropy`, `self-critical` or `distillation`.
        epoch: number of complete epochs of the stage.
        batch: number of complete batches of the present epoch.
        mean: of the loss (or the reward) over these batches.
        rows: losses, scores and rates of all complete epochs, of all stages.
        initial: fingerprint of the decoder that fine-tuning started from; empty if there is none.
    """

    stage: str
    epoch: int = 0
    batch: int = 0
    mean: MeanLoss = field(default_factory=MeanLoss)
    rows: list[dict[str, float]] = field(default_factory=list)
    initial: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint: the state of training, and the tensors that belong to it."""

    path: Path
    state: TrainingState
    decoder: dict[str, Any]
    optimizer: dict[str, Any]

    def check(self, decoder: nn.Module, setting: str, epochs: int) -> None:
        """Compare it with the decoder and the number of epochs with which training resumes.

        Args:
            decoder: the decoder that its weights are for.
            setting: name of the setting of the stage's epochs.
            epochs: of the stage.

        Raises:
            CheckpointError: the weights are those of another model.
            ConfigError: more epochs have been trained already.
        """
        weights, epoch = self.decoder, self.state.epoch + (self.state.batch > 0)
        if not isinstance(weights, dict) or not all(isinstance(each, Tensor) for each in weights.values()):
            raise CheckpointError(f"{self.path}: damaged, it has no weights; start a new run")
        if difference := misfit(weights, decoder.state_dict()):
            raise CheckpointError(
                f"{self.path}: the state of another model ({difference}); resume with the settings of its"
                " run, or start a new one"
            )
        if epoch > epochs:
            raise ConfigError(
                f"{setting} {epochs}: this run has come to its epoch {epoch}; ask for as many or more"
            )

    def restore(self, decoder: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Load the saved state into decoder and optimizer.

        Raises:
            CheckpointError: it does not fit them.
        """
        with _raised_as_damage(self.path):
            decoder.load_state_dict(self.decoder)
            optimizer.load_state_dict(self.optimizer)


def save_checkpoint(
    path: Path,
    state: TrainingState,
    decoder: RNNDecoder,
    optimizer: torch.optim.Optimizer,
    vocabulary: Vocabulary,
) -> None:
    """Write a checkpoint atomically; collective: every rank must call it, and rank 0 writes."""
    mean = state.mean.sums()
    if not world().is_rank_zero:
        return
    content = {
        "format": FORMAT,
        "vocabulary": vocabulary.fingerprint,
        "stage": state.stage,
        "epoch": state.epoch,
        "batch": state.batch,
        "mean": mean,
        "rows": state.rows,
        "initial": state.initial,
        "decoder": decoder.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: Path, vocabulary: Vocabulary) -> Checkpoint:
    """Read a checkpoint, without running code.

    Raises:
        CheckpointError: there is none, or it is damaged, of an earlier showtell, or of another vocabulary.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: nothing to resume; leave out --resume to start the run")
    try:
        content = read_pickled(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); start a new run") from error
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        raise CheckpointError(
            f"{path}: written by an earlier showtell, which this one cannot resume; start a new run, from the"
            f" model of this one with --init {path.parent}"
        )
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: damaged, not a checkpoint of showtell; start a new run")
    if content.get("vocabulary") != vocabulary.fingerprint:
        raise CheckpointError(
            "the checkpoint was made with another vocabulary (other data, split or data.min_count); "
            "resume with the settings of that run, or start a new one"
        )
    with _raised_as_damage(path):
        loss, weight = map(float, content["mean"])
        rows = content["rows"]
        if not all(isinstance(value, float) for row in rows for value in row.values()):
            raise TypeError("the history holds something else than numbers")
        mean = MeanLoss(loss, weight) if world().is_rank_zero else MeanLoss()
        position = int(content["epoch"]), int(content["batch"])
        initial = str(content.get("initial", ""))
        state = TrainingState(str(content["stage"]), *position, mean, rows, initial)
        return Checkpoint(path, state, content["decoder"], content["optimizer"])


@contextmanager
def _raised_as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = shorten(f"{type(error).__name__}: {error}", 240)
        raise CheckpointError(f"{path}: damaged ({reason}); start a new run") from error


def load_best_weights(decoder: RNNDecoder, folder: Path) -> None:
    """Load the weights of the model that training has saved in `folder` into a decoder."""
    _, _, tensors = read_model(str(folder))
    prefix = "decoder."
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    decoder.load_state_dict(own)


class StopSignals:
    """Ctrl-C and SIGTERM ask training to stop after the present step; a second one stops at once.

    Attributes:
        stop_requested: whether training is to stop.
    """

    def __init__(self) -> None:
        self.stop_requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)
        except ValueError:  # not in the main thread: signals are not ours
            pass
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True
        log.info("Stopping after this step (once more to stop at once)")
