"""Corpus scores as functions of per-image sums, their bootstrap intervals, and paired significance tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from showtell.errors import DataError
from showtell.evaluation.ngrams import Floats

RESAMPLES: Final = 2000
"""Number of bootstrap samples of the images."""
SWAPS: Final = 10_000
"""Number of random swaps of the paired test: a p-value around 0.05 has an error of about 0.005."""
_AT_ONCE: Final = 2_000_000  # entries of a matrix of weights held at once


@dataclass(frozen=True)
class Statistic:
    """A score of a corpus that is a function of sums over its images.

    Attributes:
        counts: (N, K) what each image adds to the sums.
        score: maps sums (..., K) to scores (...).
    """

    counts: Floats
    score: Callable[[Floats], Floats]

    @classmethod
    def mean(cls, values: ArrayLike) -> Statistic:
        """The mean of (N,) values."""
        values = np.asarray(values, np.float64)
        return cls.ratio(values, np.ones_like(values))

    @classmethod
    def ratio(cls, numerator: ArrayLike, denominator: ArrayLike) -> Statistic:
        """The sum of (N,) values over the sum of (N,) others; 0 if that is 0."""
        return cls(
            np.stack([np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)], axis=1), _ratio
        )

    @property
    def value(self) -> float:
        """The score of the corpus."""
        return float(self.score(self.counts.sum(axis=0)))

    @property
    def images(self) -> Floats:
        """The score (N,) of each image as a corpus of its own."""
        return self.score(self.counts)


def _ratio(sums: Floats) -> Floats:
    numerator, denominator = sums[..., 0], sums[..., 1]
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


@dataclass(frozen=True)
class Interval:
    """A range that holds 95 % of the scores of resampled images."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How a score of one model differs from that of another on the same images.

    Attributes:
        value: the first model's score minus the second's.
        interval: of that difference, over resampled images.
        p_value: two-sided: the share of random swaps of the two models' captions, image by image, that give a
            difference at least as large.
    """

    value: float
    interval: Interval
    p_value: float


def bootstrap(statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The 95 % interval of a score, by the percentile bootstrap over images (Efron 1979; Koehn 2004).

    Args:
        statistic: of N images.
        resamples: how many times N images are drawn, with replacement.
        seed: of the draws; statistics of the same images and seed are drawn alike.

    Raises:
        DataError: no images.
    """
    return _interval(_resampled(statistic.counts, resamples, seed, statistic.score))


def compare(first: Statistic, second: Statistic, *, swaps: int = SWAPS, seed: int = 0) -> Difference:
    """Compare two models on the same images, paired.

    The p-value is that of approximate randomization (Noreen 1989; Riezler and Maxwell 2005), two-sided; it is
    at least 1 / (swaps + 1).

    Args:
        first: a score of N images.
        second: the same score of another model on these images, in the same order.
        swaps: random swaps.
        seed: of all draws.

    Raises:
        DataError: no images, or not the same number of them.
    """
    if first.counts.shape != second.counts.shape:
        raise DataError(
            f"{len(first.counts)} images of one model and {len(second.counts)} of the other: "
            "compare them on the same images"
        )
    width = first.counts.shape[1]

    def difference(sums: Floats) -> Floats:
        return first.score(sums[..., :width]) - second.score(sums[..., width:])

    both = np.concatenate([first.counts, second.counts], axis=1)  # (N, 2K)
    value = float(difference(both.sum(axis=0)))
    interval = _interval(_resampled(both, RESAMPLES, seed, difference))
    swapped = np.concatenate([second.counts, first.counts], axis=1) - both
    as_large = 0
    draw = np.random.default_rng(seed)
    for rows in _portions(swaps, len(both)):
        chosen = draw.integers(0, 2, (rows, len(both))).astype(np.float64)
        differences = np.abs(difference(both.sum(axis=0) + chosen @ swapped))
        as_large += int((differences >= abs(value) * (1 - 1e-9) - 1e-12).sum())
    return Difference(value, interval, (as_large + 1) / (swaps + 1))


def _resampled(counts: Floats, resamples: int, seed: int, score: Callable[[Floats], Floats]) -> Floats:
    """Scores (resamples,) of images drawn with replacement."""
    number = len(counts)
    if not number:
        raise DataError("no images to score; give at least one")
    draw = np.random.default_rng(seed)
    scores = []
    for rows in _portions(resamples, number):
        weights = np.zeros((rows, number))
        chosen = draw.integers(0, number, (rows, number))
        np.add.at(weights, (np.arange(rows)[:, None], chosen), 1)
        scores.append(score(weights @ counts))
    return np.concatenate(scores)


def _portions(number: int, width: int) -> Iterator[int]:
    """Split `number` rows of `width` entries into portions that fit the memory."""
    at_once = max(1, _AT_ONCE // width)
    for start in range(0, number, at_once):
        yield min(at_once, number - start)


def _interval(scores: Floats) -> Interval:
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(float(low), float(high))
