"""Fitting the confidence of captions: a logistic regression, and the threshold of doubtful ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from showtell.captioning.confidence import Calibration, Floats, caption_features, predict, word_features
from showtell.errors import DataError
from showtell.evaluation.reliability import MIN_CALIBRATION_IMAGES, Bools, Reliability

MIN_DOUBTFUL_PRECISION: Final = 2 / 3
"""Share of the doubtful captions that should not be good."""
_THRESHOLDS: Final = np.arange(50, 0, -1) / 100
_MIN_DOUBTFUL_COUNT: Final = 10
"""Doubtful captions of a dataset from which their precision is looked at."""
_FOLDS: Final = 5
_L2: Final = 1e-3


def choose_doubtful_threshold(predicted: Floats, good: Bools, datasets: npt.NDArray[np.str_]) -> float | None:
    """Choose the confidence threshold of doubtful captions.

    The threshold is the largest of 0.50, 0.49, ... below which at least two of three captions are not good,
    in each dataset. It is at most 0.50, so that captions which are more likely good than not are never
    doubtful. (By definition, one of four human captions is not good.)

    Args:
        predicted: (N,) confidences of captions that the calibration was not fitted on.
        good: (N,) whether these are good.
        datasets: (N,) which dataset each is of. A dataset is only asked for thresholds that make ten of its
            captions doubtful.

    Returns:
        The threshold; None if there is none.
    """
    of_dataset = [datasets == name for name in np.unique(datasets)]
    for threshold in _THRESHOLDS.tolist():
        marked = [own & (predicted < threshold) for own in of_dataset]
        if all(
            (~good[own]).mean() >= MIN_DOUBTFUL_PRECISION
            for own in marked
            if own.sum() >= _MIN_DOUBTFUL_COUNT
        ):
            return float(threshold)
    return None


def calibrate(
    log_probs: Sequence[Sequence[float]],
    good: Sequence[bool] | Bools,
    right: Sequence[Sequence[bool]],
    datasets: Sequence[str] | None = None,
) -> tuple[Calibration, dict[str, dict[str, Reliability]]]:
    """Fit a calibration, and measure it on images that it was not fitted on.

    The images are taken in five parts. The confidence of each part, and the threshold below which its
    captions are doubtful, are those that the other four give. Each dataset weighs the same in the fit.

    Args:
        log_probs: of N captions, of each word and of the end.
        good: whether each caption is good (see `caption_labels`).
        right: whether each of their words is right (see `word_labels`).
        datasets: name of the dataset of each; without it, all are of one that is named "".

    Returns:
        The calibration; and of each dataset, by its name, the reliability of "captions" and "words".

    Raises:
        DataError: fewer than `MIN_CALIBRATION_IMAGES` captions, or no words in them.
    """
    if len(log_probs) < MIN_CALIBRATION_IMAGES:
        raise DataError(f"{len(log_probs)} images are too few; {MIN_CALIBRATION_IMAGES} are needed")
    features = np.concatenate([word_features(values) for values in log_probs])
    if not len(features):
        raise DataError("captions without words: nothing to calibrate with")
    names = np.array([""] * len(log_probs) if datasets is None else datasets)
    folds = np.empty(len(names), dtype=int)
    for name in np.unique(names):
        folds[names == name] = np.arange((names == name).sum()) % _FOLDS
    captions = _LabelledFeatures(
        np.stack([caption_features(values) for values in log_probs]), np.asarray(good, bool), names, folds
    )
    lengths = [len(values) - 1 for values in log_probs]
    labels = np.array([r for row in right for r in row], dtype=bool)
    words = _LabelledFeatures(features, labels, np.repeat(names, lengths), np.repeat(folds, lengths))
    predicted, of_words = captions.cross_fit(), words.cross_fit()
    calibration = Calibration(captions.fit(), words.fit(), captions.threshold())
    doubtful = captions.cross_mark(predicted)
    return calibration, {
        str(name): {
            "captions": _dataset_reliability(name, captions, predicted, doubtful),
            "words": _dataset_reliability(name, words, of_words, None),
        }
        for name in dict.fromkeys(names.tolist())
    }


@dataclass(frozen=True)
class _LabelledFeatures:
    """Captions, or words, and whether each is right.

    Attributes:
        features: (N, F).
        labels: (N,).
        datasets: (N,) their names.
        folds: (N,) numbers below `_FOLDS`; the words of an image are in one.
    """

    features: Floats
    labels: Bools
    datasets: npt.NDArray[np.str_]
    folds: npt.NDArray[np.int_]

    def of(self, rows: Bools) -> _LabelledFeatures:
        """Those of some rows (N,)."""
        return _LabelledFeatures(
            self.features[rows], self.labels[rows], self.datasets[rows], self.folds[rows]
        )

    def fit(self) -> tuple[float, ...]:
        """Weights (F + 1,) of a logistic regression."""
        _, index, count = np.unique(self.datasets, return_inverse=True, return_counts=True)
        weights = (len(self.labels) / len(count) / count)[index]  # of each dataset the same sum, 1 on average
        return _fit(self.features, self.labels, weights)

    def cross_fit(self) -> Floats:
        """Predict (N,) each fold by what the others give."""
        predicted = np.zeros(len(self.labels))
        for fold in np.unique(self.folds):
            out = self.folds == fold
            predicted[out] = predict(self.features[out], self.of(~out).fit())
        return predicted

    def threshold(self) -> float | None:
        """See `choose_doubtful_threshold`."""
        return choose_doubtful_threshold(self.cross_fit(), self.labels, self.datasets)

    def cross_mark(self, predicted: Floats) -> Bools:
        """Whether each (N,) is doubtful by the threshold that the other folds give, as if it were all."""
        doubtful = np.zeros(len(self.labels), dtype=bool)
        for fold in np.unique(self.folds):
            out = self.folds == fold
            doubtful[out] = predicted[out] < (self.of(~out).threshold() or 0.0)
        return doubtful


def _dataset_reliability(
    name: str, rows: _LabelledFeatures, predicted: Floats, doubtful: Bools | None
) -> Reliability:
    """The reliability of one dataset."""
    own = rows.datasets == name
    return Reliability(predicted[own], rows.labels[own], None if doubtful is None else doubtful[own])


def _fit(features: Floats, labels: Bools, weights: Floats) -> tuple[float, ...]:
    """Weights (F + 1,) of a logistic regression; Platt's targets keep it finite if all or none held.

    Args:
        features: (N, F).
        labels: (N,).
        weights: (N,) of each in the loss; 1 on average.
    """
    from scipy.optimize import minimize  # slow to import, and captioning does not need it

    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    inputs = (features - mean) / scale
    yes, no = weights @ labels, weights @ ~labels
    targets = np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(values: Floats) -> tuple[float, Floats]:
        logits = inputs @ values[:-1] + values[-1]
        decay = _L2 * np.append(values[:-1], 0.0)
        error = weights * (expit(logits) - targets) / len(targets)
        value = np.mean(weights * (np.logaddexp(0, logits) - targets * logits)) + 0.5 * decay @ values
        return float(value), np.append(error @ inputs, error.sum()) + decay

    optimum: Any = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B")
    values = optimum.x[:-1] / scale
    return (*values.tolist(), float(optimum.x[-1] - values @ mean))
