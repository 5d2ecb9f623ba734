"""Stop a training that diverges, before a useless model counts as the best one."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Final, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from showtell.errors import TrainingDivergedError
from showtell.training.module import CaptionModule

log = logging.getLogger(__name__)

WORSE_THAN_GUESSING: Final = 3.0
"""A validation loss is absurd from so many times that of a decoder to which all words are equally likely."""
RISING_EPOCHS: Final = 3
"""Training stops where the validation loss has only risen in so many epochs, from the first on."""


class StopDivergence(Callback):
    """Stops a cross-entropy training that diverges. It has to come before the callback that saves the best.

    An absurd loss (see `absurd_loss`) ends training: without a model where none was saved, else with the
    best one. So does a loss that has only risen from the first epoch on.

    Args:
        losses: gives the validation losses of the epochs before.
        patient: never stop early because of a rising loss; warn only.
    """

    def __init__(self, losses: Callable[[], Sequence[float]], *, patient: bool) -> None:
        self._losses, self._patient = losses, patient

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the loss.

        Raises:
            TrainingDivergedError: it is absurd, and so were those of all epochs before.
        """
        if trainer.sanity_checking:
            return
        module = cast(CaptionModule, pl_module)
        loss = float(trainer.callback_metrics["val_loss"])
        words, rate = module.decoder.vocab_size, module.config.learning_rate
        before = self._losses()
        if is_absurd(loss, words):
            if not any(not is_absurd(each, words) for each in before):
                raise TrainingDivergedError(
                    f"the validation loss is {_number(loss)} after epoch {len(before) + 1}, and that of"
                    f" guessing is {math.log(words):.1f}: training diverges, and no model was saved; lower"
                    f" training.learning_rate ({rate:g} here, 0.0015 by default)"
                )
            log.warning(
                "the validation loss is %s after epoch %d: training diverges and is stopped; the best model"
                " is kept. Lower training.learning_rate (%g here)",
                _number(loss),
                len(before) + 1,
                rate,
            )
            trainer.should_stop = True
        elif only_rises([*before, loss]):
            log.warning(
                "the validation loss has only risen, from %.3f to %.3f in %d epochs%s; the best model is that"
                " of epoch 1. Lower training.learning_rate (%g here), or add photos",
                before[0],
                loss,
                len(before) + 1,
                "" if self._patient else ": training is stopped",
                rate,
            )
            trainer.should_stop = trainer.should_stop or not self._patient


def is_absurd(loss: float, words: int) -> bool:
    """Whether a loss a word is not finite, or far worse than that of guessing among `words` words."""
    return not loss < WORSE_THAN_GUESSING * math.log(words)


def only_rises(losses: Sequence[float]) -> bool:
    """Whether the losses of the first `RISING_EPOCHS` epochs, which have just ended, each are higher."""
    if len(losses) != RISING_EPOCHS:
        return False
    return all(after > before for before, after in itertools.pairwise(losses))


def _number(loss: float) -> str:
    return f"{loss:,.1f}" if math.isfinite(loss) else "not a finite number"
