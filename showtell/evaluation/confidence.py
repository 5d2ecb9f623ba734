"""How likely a caption, and each of its words, is right: logistic regression on what the model said.

A model's own probabilities rank captions, but do not say how often captions like this one are right (Guo et
al. 2017, arXiv:1706.04599). Captions of validation photos are compared with those of people, and a few
weights are fitted (Platt 1999) that turn log-probabilities into such a share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from showtell.errors import DataError
from showtell.evaluation.cider import cider_d

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FEWEST: Final = 50
"""Images from which a calibration can be made."""
_FOLDS: Final = 5
_DECAY: Final = 1e-3


@dataclass(frozen=True)
class Calibration:
    """Turns the log-probabilities of a caption's words into probabilities of being right.

    Attributes:
        caption: weights of the mean and the least log-probability and of the number of words; then the bias.
        word: weights of a word's log-probability, of the mean in its caption, of its place, and of the
            log-probability of the word before; then the bias.
    """

    caption: tuple[float, ...]
    word: tuple[float, ...]

    def of_caption(self, log_probs: Sequence[float]) -> float:
        """Probability that a caption is good (see `good_captions`), of its words' and its end's (T + 1,)."""
        return float(_predict(caption_features(log_probs)[None], self.caption)[0])

    def of_words(self, log_probs: Sequence[float]) -> tuple[float, ...]:
        """Probability that each word is right (see `right_words`), of T + 1 log-probabilities: (T,)."""
        return tuple(_predict(word_features(log_probs), self.word).tolist())

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[float]]) -> Calibration:
        """Read what `dataclasses.asdict` gave."""
        return cls(tuple(value["caption"]), tuple(value["word"]))


@dataclass(frozen=True)
class Reliability:
    """What a calibration promises of captions or words that it was not fitted on, and what holds.

    Attributes:
        promised: (N,) probabilities, each from the other four fifths of the images.
        right: (N,), whether it held.
    """

    promised: Floats
    right: Bools

    def bins(self, number: int = 10) -> list[tuple[float, float]]:
        """(mean promise, share that held) of equally many, from the least promise to the greatest."""
        parts = np.array_split(np.argsort(self.promised, kind="stable"), number)
        return [(float(self.promised[p].mean()), float(self.right[p].mean())) for p in parts if len(p)]

    @property
    def error(self) -> float:
        """Mean distance between promise and share over the bins (expected calibration error)."""
        return float(np.mean([abs(promise - share) for promise, share in self.bins()]))


def caption_features(log_probs: Sequence[float]) -> Floats:
    """What tells of a caption (3,): mean and least log-probability, number of words, of (T + 1,)."""
    values = np.asarray(log_probs, dtype=np.float64)
    return np.array([values.mean(), values.min(), len(values) - 1])


def word_features(log_probs: Sequence[float]) -> Floats:
    """What tells of each word (T, 4): its log-probability, the caption's mean, its place, the one before."""
    values = np.asarray(log_probs, dtype=np.float64)
    words = values[:-1]
    mean = np.full_like(words, values.mean())
    before = np.concatenate([[0.0], words])[: len(words)]
    return np.stack([words, mean, np.arange(len(words), dtype=np.float64), before], axis=1)


def right_words(said: Sequence[str], references: Sequence[Sequence[str]]) -> list[bool]:
    """Whether each word is one that a person used for the picture."""
    known = {word for reference in references for word in reference}
    return [word in known for word in said]


def good_captions(said: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Bools:
    """Whether captions are better than the weakest quarter of those that people write.

    A caption is good where its CIDEr-D is at least that of the lower quartile of people's captions, each
    compared with the others of its picture.

    Args:
        said: N captions as words.
        references: of each, people's captions as words.

    Raises:
        DataError: fewer than `FEWEST` pictures have two captions of people.
    """
    people: list[float] = []
    for place in range(max(map(len, references), default=0)):
        several = [captions for captions in references if len(captions) > max(place, 1)]
        if len(several) >= FEWEST:  # document frequencies of few pictures mean little
            others = [[*captions[:place], *captions[place + 1 :]] for captions in several]
            people.extend(cider_d([captions[place] for captions in several], others).tolist())
    if not people:
        raise DataError(
            f"fewer than {FEWEST} validation images have two captions or more, so it is not known how well"
            " people agree; add captions, or raise data.val_fraction"
        )
    good: Bools = cider_d(said, references) >= np.quantile(people, 0.25)
    return good


def calibrate(
    log_probs: Sequence[Sequence[float]], good: Sequence[bool] | Bools, right: Sequence[Sequence[bool]]
) -> tuple[Calibration, dict[str, Reliability]]:
    """Fit a calibration, and measure it on images that it was not fitted on.

    Args:
        log_probs: of N captions, of each word and of the end.
        good: whether each caption is good (see `good_captions`).
        right: whether each of their words is right (see `right_words`).

    Returns:
        The calibration, and the reliability of "captions" and "words".

    Raises:
        DataError: fewer than `FEWEST` captions, or no words in them.
    """
    if len(log_probs) < FEWEST:
        raise DataError(
            f"{len(log_probs)} validation images are too few; {FEWEST} are needed: raise data.val_fraction"
        )
    captions = np.stack([caption_features(values) for values in log_probs])
    words = np.concatenate([word_features(values) for values in log_probs])
    if not len(words):
        raise DataError("captions without words: nothing to calibrate with")
    images = np.arange(len(log_probs))
    of_words = np.repeat(images, [len(values) - 1 for values in log_probs])
    outcomes = {
        "captions": (captions, np.asarray(good, dtype=bool), images),
        "words": (words, np.asarray([r for row in right for r in row], dtype=bool), of_words),
    }
    calibration = Calibration(*(_fit(features, held) for features, held, _ in outcomes.values()))
    return calibration, {name: _cross_fit(*values) for name, values in outcomes.items()}


def _fit(features: Floats, held: Bools) -> tuple[float, ...]:
    """Weights (F + 1,) of a logistic regression; Platt's targets keep it finite where all or none held."""
    from scipy.optimize import minimize  # slow to import, and captioning does not need it

    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    inputs = (features - mean) / scale
    yes, no = int(held.sum()), int((~held).sum())
    targets = np.where(held, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = inputs @ weights[:-1] + weights[-1]
        decay = _DECAY * np.append(weights[:-1], 0.0)
        error = (expit(logits) - targets) / len(targets)
        value = np.mean(np.logaddexp(0, logits) - targets * logits) + 0.5 * decay @ weights
        return float(value), np.append(error @ inputs, error.sum()) + decay

    found: Any = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B")
    weights = found.x[:-1] / scale
    return (*weights.tolist(), float(found.x[-1] - weights @ mean))


def _predict(features: Floats, weights: Sequence[float]) -> Floats:
    values: Floats = expit(features @ np.asarray(weights[:-1]) + weights[-1])
    return values


def _cross_fit(features: Floats, held: Bools, images: npt.NDArray[np.int_]) -> Reliability:
    """Predict each fold of the images by what the others give."""
    promised = np.zeros(len(held))
    for fold in range(_FOLDS):
        out = images % _FOLDS == fold
        promised[out] = _predict(features[out], _fit(features[~out], held[~out]))
    return Reliability(promised, held)
