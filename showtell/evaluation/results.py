"""Results of an evaluation: captions and scores of each dataset, as text, dictionaries and data frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from showtell.data.annotations.entries import EMPTY_CAPTION
from showtell.data.records import CaptionedImage
from showtell.data.segmentation import segment
from showtell.errors import ShowtellError, UsageError
from showtell.evaluation.scorecard import UNDECODED, ScoreCard
from showtell.evaluation.scores import METRIC_DESCRIPTIONS, Confidence, Scores, compare_scores, format_score
from showtell.evaluation.significance import Difference
from showtell.evaluation.submission import check_submission, write_submission
from showtell.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas as pd

    from showtell.captioning.caption import Caption

_UNSCORED: Final = ("no caption of an image", UNDECODED)
"""Reasons for which an image has no caption."""


@dataclass(frozen=True)
class EvaluationData:
    """The images that are captioned, and what their captions are compared with.

    Attributes:
        name: of the dataset.
        split: the part of it that is captioned.
        images: of this split.
        training: captions of the training images.
        objects: image id -> COCO objects in it, if they are known.
        skipped: annotations that were dropped, by reason.
        others: the images of the other splits.
    """

    name: str
    split: str
    images: list[CaptionedImage]
    training: list[str]
    objects: Mapping[str, frozenset[str]] | None
    skipped: Counter[str]
    others: list[CaptionedImage]

    @property
    def submission_split(self) -> str:
        """The split as a submission names it: the folder of the images, if it has the year (val2017)."""
        parents = {image.path.parent.name for image in self.images}
        parent = parents.pop() if len(parents) == 1 else ""
        return parent if re.fullmatch(r"(train|val|test)\d{4}", parent) else self.split

    def check_submission(self, name: str) -> None:
        """Check that captions of these images can be a submission to COCO's server, before they are made.

        Raises:
            UsageError: the name cannot be part of a file's.
            DataError: the id of an image is not one of COCO's.
        """
        check_submission(self.submission_split, name, [image.image_id for image in self.images])


@dataclass(frozen=True)
class ModelCaptions:
    """Captions of the images by a model, or from a file of predictions.

    Attributes:
        name: of the model (with `@` and the image size, if it is not the model's own), or of the file.
        texts: image id -> captions, best first.
        best: image id -> the best caption of a model; empty if they are from a file.
        skipped: what was dropped, by reason.
        search: how captions were searched; empty if they are from a file.
        has_threshold: whether the model has a threshold below which captions are doubtful.
    """

    name: str
    texts: dict[str, tuple[str, ...]]
    best: dict[str, Caption]
    skipped: Counter[str]
    search: str
    has_threshold: bool = False

    @property
    def confidences(self) -> dict[str, Confidence] | None:
        """Image id -> confidence of the best caption; empty if it is not calibrated, None for a file."""
        if not self.best:
            return None
        return {
            image: Confidence(caption.confidence, caption.doubtful if self.has_threshold else None)
            for image, caption in self.best.items()
            if caption.confidence is not None
        }

    def segmented(self) -> ModelCaptions:
        """These with spaces around each character of a script without spaces, as the references have them."""
        return replace(self, texts={i: tuple(map(segment, texts)) for i, texts in self.texts.items()})


@dataclass(frozen=True)
class DatasetEvaluation:
    """The evaluation of one model or two on one dataset.

    Attributes:
        data: the images.
        captions: of each model.
        model_scores: of each model, with the scores of each image.
        cards: scores of each model, with their intervals.
        among_several: whether the run is evaluated on other datasets too.
    """

    data: EvaluationData = field(repr=False)
    captions: tuple[ModelCaptions, ...] = field(repr=False)
    model_scores: tuple[Scores, ...] = field(repr=False)
    cards: tuple[ScoreCard, ...]
    among_several: bool = False

    @property
    def scores(self) -> dict[str, float]:
        """Name -> score of the (first) model."""
        return dict(self.cards[0].values)

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """Score -> difference of two models with its paired test; empty of one model."""
        return compare_scores(*self.model_scores) if len(self.model_scores) > 1 else {}

    def __str__(self) -> str:
        lines = list(_card_lines(self.cards[0]))
        if len(self.cards) > 1:
            lines += _comparison_lines(self.cards, self.differences)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: name and split of the dataset, the cards, the differences of two models."""
        return {
            "dataset": self.data.name,
            "split": self.data.split,
            "models": [asdict(card) for card in self.cards],
            "differences": {name: asdict(difference) for name, difference in self.differences.items()},
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each score of each model."""
        for card in self.cards:
            for name, value in card.values.items():
                row = {
                    "dataset": card.data,
                    "split": card.split,
                    "model": card.model,
                    "score": name,
                    "value": value,
                }
                if interval := card.intervals.get(name):
                    row |= {"low": interval.low, "high": interval.high}
                yield row

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row for each score: dataset, split, model, score, value, low, high.

        Raises:
            UsageError: pandas is not installed.
        """
        return data_frame(list(self.rows()))

    def save(self, folder: str | Path) -> list[Path]:
        """Write the scores to a folder, one JSON file per model; later reports show them beside their own.

        Raises:
            ShowtellError: they cannot be written.
        """
        try:
            return [card.save(Path(folder)) for card in self.cards]
        except OSError as error:
            raise ShowtellError(
                f"{folder}: cannot be written ({error.strerror or error}); name another folder (out)"
            ) from error

    def write_submission(self, folder: str | Path, name: str) -> Path:
        """Write the captions of the first model as COCO's file of results.

        Raises:
            UsageError: an image has no caption, or the name cannot be part of a file's.
        """
        texts, images = self.captions[0].texts, self.data.images
        if len(texts) < len(images):
            raise UsageError(
                f"a submission needs a caption of each image; {len(images) - len(texts):,} have none"
            )
        best = {image: some[0] for image, some in texts.items()}
        return write_submission(Path(folder), self.data.submission_split, name, best)


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one model or two; a run that was trained on several datasets is evaluated on each.

    Attributes:
        datasets: the evaluation on each.
    """

    datasets: tuple[DatasetEvaluation, ...]

    @property
    def scores(self) -> dict[str, float]:
        """Name -> score of the (first) model on the first dataset."""
        return self.datasets[0].scores

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.datasets))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `datasets`, a list (see `DatasetEvaluation.to_dict`)."""
        return {"datasets": [each.to_dict() for each in self.datasets]}

    def to_pandas(self) -> pd.DataFrame:
        """See `DatasetEvaluation.to_pandas`; the rows of all datasets.

        Raises:
            UsageError: pandas is not installed.
        """
        return data_frame([row for each in self.datasets for row in each.rows()])


def _card_lines(card: ScoreCard) -> Iterator[str]:
    yield f"{card.title}\n\n{'':<15}{'score':>9}   95 % interval"
    for name, value in card.values.items():
        interval = card.intervals.get(name)
        span = (
            f"{format_score(interval.low, name)} to {format_score(interval.high, name)}" if interval else ""
        )
        meaning = card.notes.get(name) or METRIC_DESCRIPTIONS.get(name, "")
        yield f"{name:<15}{format_score(value, name):>9}   {span:<20} {meaning}".rstrip()
    for name, reason in card.left_out.items():
        yield f"skipped metric: {name} ({reason})"
    for reason, number in card.skipped.items():
        yield f"{number:,}: {reason}" if reason == EMPTY_CAPTION else f"dropped {number:,}: {reason}"
    if missing := sum(number for reason, number in card.skipped.items() if reason in _UNSCORED):
        yield f"{missing:,} images have no caption and are not scored; this may inflate the scores"


def _comparison_lines(cards: tuple[ScoreCard, ...], differences: dict[str, Difference]) -> Iterator[str]:
    first, second = cards
    yield f"\nagainst {second.title}\n"
    yield f"{'':<15}{'first':>9}{'second':>9}{'difference':>12}   95 % interval      p"
    for name, difference in differences.items():
        interval = f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}"
        values = f"{format_score(first.values[name], name):>9}{format_score(second.values[name], name):>9}"
        yield f"{name:<15}{values}{difference.value:>+12.3f}   {interval:<18} {difference.p_value:.4f}"
    yield "p: two-sided p-value of the paired approximate randomization test (Noreen 1989)"
