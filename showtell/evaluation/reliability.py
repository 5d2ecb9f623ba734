"""Labels of good captions and words, and the calibration of the confidence against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from showtell.errors import DataError
from showtell.evaluation.cider import cider_d

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MIN_CALIBRATION_IMAGES: Final = 50
"""Minimum number of images to calibrate or check a confidence."""


@dataclass(frozen=True)
class Reliability:
    """Predicted confidences and the labels they are compared with.

    Attributes:
        predicted: (N,) probabilities.
        labels: (N,) whether the caption is good, or the word occurs in a reference.
        doubtful: (N,) whether the caption is doubtful; None for words, or without a threshold.
    """

    predicted: Floats
    labels: Bools
    doubtful: Bools | None = None

    def bins(self, number: int = 10) -> list[tuple[float, float]]:
        """(mean confidence, accuracy) of bins with equal counts, in increasing order of confidence."""
        parts = np.array_split(np.argsort(self.predicted, kind="stable"), number)
        return [(float(self.predicted[p].mean()), float(self.labels[p].mean())) for p in parts if len(p)]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean absolute difference of confidence and accuracy over the bins."""
        return float(np.mean([abs(confidence - share) for confidence, share in self.bins()]))

    @property
    def doubtful_share(self) -> float | None:
        """Share of the captions that are doubtful; None without a threshold."""
        return None if self.doubtful is None else float(self.doubtful.mean())

    @property
    def doubtful_precision(self) -> float | None:
        """Share of the doubtful captions that are not good; None if no caption is doubtful."""
        if self.doubtful is None or not self.doubtful.any():
            return None
        return float(1 - self.labels[self.doubtful].mean())


def word_labels(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> list[bool]:
    """Whether each word occurs in a reference of the image."""
    known = {word for reference in references for word in reference}
    return [word in known for word in candidate]


def caption_labels(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Bools:
    """Whether each caption is good: CIDEr-D at or above the lower quartile of human captions.

    Each human caption is compared with the others of its image. The images should be of one dataset: style
    and common words differ between datasets.

    Args:
        candidates: N captions as words.
        references: human captions of each image, as words.

    Raises:
        DataError: fewer than `MIN_CALIBRATION_IMAGES` images have two human captions.
    """
    human_scores: list[float] = []
    for index in range(max(map(len, references), default=0)):
        several = [captions for captions in references if len(captions) > max(index, 1)]
        if len(several) >= MIN_CALIBRATION_IMAGES:  # document frequencies of few images mean little
            others = [[*captions[:index], *captions[index + 1 :]] for captions in several]
            human_scores.extend(cider_d([captions[index] for captions in several], others).tolist())
    if not human_scores:
        raise DataError(
            f"fewer than {MIN_CALIBRATION_IMAGES} images have two captions or more, "
            "so the agreement of human captions is unknown"
        )
    good: Bools = cider_d(candidates, references) >= np.quantile(human_scores, 0.25)
    return good
