"""The confidence in a caption, and in each of its words: the probability that it is right.

Log-probabilities of a decoder rank captions, but are not the share of captions that are right (Guo et al.
2017, arXiv:1706.04599). A logistic regression on them, fitted on validation images (Platt 1999), gives that
share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CAPTION_WEIGHTS: Final = 4
_WORD_WEIGHTS: Final = 5
_LARGEST_WEIGHT: Final = 1e9


@dataclass(frozen=True)
class Calibration:
    """Turns the log-probabilities of a caption's words into probabilities of being right.

    Attributes:
        caption: weights of the mean and the least log-probability and of the number of words; then the bias.
        word: weights of a word's log-probability, of the mean in its caption, of its place, and of the
            log-probability of the word before; then the bias.
        doubtful: captions of less confidence are doubtful (see `choose_doubtful_threshold`); None of a model
            that was calibrated without such a threshold.
    """

    caption: tuple[float, ...]
    word: tuple[float, ...]
    doubtful: float | None = None

    def caption_confidence(self, log_probs: Sequence[float]) -> float:
        """Probability that a caption is good (see `caption_labels`), of its words' and its end's (T + 1,)."""
        return float(predict(caption_features(log_probs)[None], self.caption)[0])

    def word_confidences(self, log_probs: Sequence[float]) -> tuple[float, ...]:
        """Probability that each word is right (see `word_labels`), of T + 1 log-probabilities: (T,)."""
        return tuple(predict(word_features(log_probs), self.word).tolist())

    def is_doubtful(self, confidence: float) -> bool:
        """Whether a caption of this confidence is doubtful; none is without a threshold."""
        return self.doubtful is not None and confidence < self.doubtful

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Read what `dataclasses.asdict` gave; earlier versions knew no `doubtful`.

        Raises:
            ValueError: a value is missing, of another type, or not finite.
        """
        if not isinstance(value, Mapping):
            raise ValueError("the calibration is no object")  # noqa: TRY004 - what a file holds
        doubtful = value.get("doubtful")
        if doubtful is not None and (type(doubtful) not in (int, float) or not 0 <= doubtful <= 1):
            raise ValueError(f"the calibration's threshold is {doubtful!r}")
        caption, word = (
            _weights(value.get(name), count)
            for name, count in (("caption", _CAPTION_WEIGHTS), ("word", _WORD_WEIGHTS))
        )
        return cls(caption, word, None if doubtful is None else float(doubtful))


def _weights(value: object, count: int) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"a calibration has {count} weights here")
    if not all(type(weight) in (int, float) and abs(weight) < _LARGEST_WEIGHT for weight in value):
        raise ValueError("a weight of the calibration is no number")
    return tuple(float(weight) for weight in value)


def caption_features(log_probs: Sequence[float]) -> Floats:
    """Features (3,) of a caption: mean and minimum of its log-probabilities (T + 1,), number of words."""
    values = np.asarray(log_probs, dtype=np.float64)
    return np.array([values.mean(), values.min(), len(values) - 1])


def word_features(log_probs: Sequence[float]) -> Floats:
    """Features (T, 4) of words: log-probability, the caption's mean, position, the log-probability before."""
    values = np.asarray(log_probs, dtype=np.float64)
    words = values[:-1]
    mean = np.full_like(words, values.mean())
    before = np.concatenate([[0.0], words])[: len(words)]
    return np.stack([words, mean, np.arange(len(words), dtype=np.float64), before], axis=1)


def predict(features: Floats, weights: Sequence[float]) -> Floats:
    """The probabilities (N,) of a logistic regression, of features (N, F) and weights (F + 1,)."""
    logits = features @ np.asarray(weights[:-1]) + weights[-1]
    values: Floats = 0.5 * (1 + np.tanh(0.5 * logits))  # SciPy's expit takes longer to import than a caption
    return values
