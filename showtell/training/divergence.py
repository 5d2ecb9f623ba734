"""Detection of diverging training, before a useless model counts as the best one."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from typing import Final

from showtell.config import TrainingConfig
from showtell.errors import TrainingDivergedError

log = logging.getLogger(__name__)

MAX_LOSS_RATIO: Final = 3.0
"""A validation loss above this multiple of the uniform-guessing loss, log(V), counts as diverged."""
RISING_EPOCHS: Final = 3
"""Training stops if the validation loss has only risen in so many epochs, from the first on."""


def check_divergence(losses: Sequence[float], words: int, config: TrainingConfig) -> None:
    """Check whether cross-entropy training has diverged after an epoch; warnings are logged.

    A diverged loss (see `is_diverged_loss`) ends training: with the best model, or with an error if none was
    saved. So does a loss that has risen in every epoch so far; without early stopping (patience 0) this is
    only logged.

    Args:
        losses: the validation losses of all epochs, the last one of which was not saved yet.
        words: in the vocabulary.
        config: the optimisation.

    Raises:
        TrainingDivergedError: the losses of all epochs have diverged.
    """
    epoch, loss, rate = len(losses), losses[-1], config.learning_rate
    if all(is_diverged_loss(each, words) for each in losses):
        raise TrainingDivergedError(
            f"the validation loss is {_number(loss)} after epoch {epoch}, and that of guessing is"
            f" {math.log(words):.1f}: training diverges, and no model was saved; lower"
            f" training.learning_rate ({rate:g} here, 0.0015 by default)"
        )
    if is_diverged_loss(loss, words):
        log.warning(
            "the validation loss is %s after epoch %d: training diverges and is stopped; the best model"
            " is kept. Lower training.learning_rate (%g here)",
            _number(loss),
            epoch,
            rate,
        )
    elif only_rises(losses):
        log.warning(
            "the validation loss has only risen, from %.3f to %.3f in %d epochs%s; the best model is that"
            " of epoch 1. Lower training.learning_rate (%g here), or add photos",
            losses[0],
            loss,
            epoch,
            ": training is stopped" if config.patience else "",
            rate,
        )


def has_diverged(losses: Sequence[float], words: int, config: TrainingConfig) -> bool:
    """Whether a training was stopped after one of these epochs: see `check_divergence`."""
    rising = config.patience > 0 and only_rises(losses[:RISING_EPOCHS])
    return rising or any(is_diverged_loss(loss, words) for loss in losses)


def is_diverged_loss(loss: float, words: int) -> bool:
    """Whether a loss per word is not finite, or far above that of guessing among `words` words."""
    return not loss < MAX_LOSS_RATIO * math.log(words)


def only_rises(losses: Sequence[float]) -> bool:
    """Whether these are the first `RISING_EPOCHS` losses, and each is higher than the one before."""
    if len(losses) != RISING_EPOCHS:
        return False
    return all(after > before for before, after in itertools.pairwise(losses))


def _number(loss: float) -> str:
    return f"{loss:,.1f}" if math.isfinite(loss) else "not a finite number"
