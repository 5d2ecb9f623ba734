"""Which captions and words are right, and whether a confidence in them holds."""

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
"""Images from which a confidence can be calibrated, or checked."""


@dataclass(frozen=True)
class Reliability:
    """The confidence in captions or words, and whether each is right.

    Attributes:
        predicted: (N,) probabilities.
        labels: (N,) whether it is right.
        doubtful: (N,) whether a caption is doubtful; None of words, and where there is no threshold.
    """

    predicted: Floats
    labels: Bools
    doubtful: Bools | None = None

    def bins(self, number: int = 10) -> list[tuple[float, float]]:
        """(mean confidence, share that is right) of bins of equally many, the least confident first."""
        parts = np.array_split(np.argsort(self.predicted, kind="stable"), number)
        return [(float(self.predicted[p].mean()), float(self.labels[p].mean())) for p in parts if len(p)]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance between confidence and share over the bins."""
        return float(np.mean([abs(confidence - share) for confidence, share in self.bins()]))

    @property
    def doubtful_share(self) -> float | None:
        """Share of the captions that are doubtful; None where there is no threshold."""
        return None if self.doubtful is None else float(self.doubtful.mean())

    @property
    def doubtful_precision(self) -> float | None:
        """Share of the doubtful captions that are not right; None where none is doubtful."""
        if self.doubtful is None or not self.doubtful.any():
            return None
        return float(1 - self.labels[self.doubtful].mean())


def word_labels(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> list[bool]:
    """Whether each word is one that a person used for the image."""
    known = {word for reference in references for word in reference}
    return [word in known for word in candidate]


def caption_labels(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Bools:
    """Whether captions are better than the weakest quarter of those that people write.

    A caption is good where its CIDEr-D is at least that of the lower quartile of people's captions, each
    compared with the others of its image. The images should be of one dataset: how people write, and
    which words are common, differs from one to the next.

    Args:
        candidates: N captions as words.
        references: of each, people's captions as words.

    Raises:
        DataError: fewer than `MIN_CALIBRATION_IMAGES` images have two captions of people.
    """
    human_scores: list[float] = []
    for place in range(max(map(len, references), default=0)):
        several = [captions for captions in references if len(captions) > max(place, 1)]
        if len(several) >= MIN_CALIBRATION_IMAGES:  # document frequencies of few images mean little
            others = [[*captions[:place], *captions[place + 1 :]] for captions in several]
            human_scores.extend(cider_d([captions[place] for captions in several], others).tolist())
    if not human_scores:
        raise DataError(
            f"fewer than {MIN_CALIBRATION_IMAGES} images have two captions or more, "
            "so it is not known how well people agree"
        )
    good: Bools = cider_d(candidates, references) >= np.quantile(human_scores, 0.25)
    return good
