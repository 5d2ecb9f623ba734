"""Write the report page of an evaluation."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from showtell.checkpoints.run_folder import HISTORY
from showtell.data.records import CaptionedImage
from showtell.data.tokenizer import tokenize
from showtell.errors import ImageError, ShowtellError, UsageError
from showtell.evaluation.dataset import DataInput
from showtell.evaluation.results import DatasetEvaluation, Evaluation, EvaluationData, ModelCaptions
from showtell.evaluation.run import evaluate, results_folder
from showtell.evaluation.scorecard import ScoreCard, earlier_cards, file_stem
from showtell.evaluation.scores import METRIC_DESCRIPTIONS, Scores
from showtell.evaluation.settings import EvaluationKeywords
from showtell.evaluation.word_usage import WordUsage, word_usage
from showtell.reporting.render import Report, ReportImage, ScoreRow, Shown, write_report
from showtell.reporting.thumbnails import make_thumbnail
from showtell.utils.keywords import check_keyword

if TYPE_CHECKING:
    import pandas as pd

    from showtell.captioning.base import CaptioningModel

_CURVES = {"Loss": ("train_loss", "divergence", "val_loss"), "Scores on validation": ("CIDEr", "BLEU-4")}
"""Columns of history.csv; if a run had several datasets, those of each (`val_loss/coco`) are shown too."""
_MAX_EARLIER_RUNS = 6
"""Maximum number of columns for earlier runs: the latest."""


@dataclass(frozen=True)
class WrittenReport:
    """A page for each dataset, and the evaluation that it shows.

    Attributes:
        pages: HTML files, one per dataset.
        evaluation: the scores.
    """

    pages: tuple[Path, ...]
    evaluation: Evaluation

    def __str__(self) -> str:
        return "\n".join(
            page_line(page, each) for page, each in zip(self.pages, self.evaluation.datasets, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `pages`, names of files, and those of the evaluation."""
        return {"pages": list(map(str, self.pages)), **self.evaluation.to_dict()}

    def to_pandas(self) -> pd.DataFrame:
        """The scores as a data frame; see `Evaluation.to_pandas`.

        Raises:
            UsageError: pandas is not installed.
        """
        return self.evaluation.to_pandas()


def report(
    model: str | os.PathLike[str] | CaptioningModel | None = None,
    data: DataInput = None,
    *,
    out: str | os.PathLike[str] | None = None,
    **settings: Unpack[EvaluationKeywords],
) -> WrittenReport:
    """Evaluate, and write a page with the scores, the curves of a run, and every photo with its captions.

    Args:
        model: see `showtell.evaluate`.
        data: see `showtell.evaluate`.
        out: folder of the page, and of the scores beside it; by default reports/<dataset>-<split>. For
            several datasets it holds a folder for each.
        **settings: see `showtell.evaluate`.

    Raises:
        ShowtellError: something cannot be used, or written.
    """
    for name in settings:
        check_keyword("report", name, ("model", "data", "out", *EvaluationKeywords.__annotations__), {})
    evaluation = evaluate(model, data, **settings, attention=True)
    pages = [write_page(each, results_folder(out, each)) for each in evaluation.datasets]
    return WrittenReport(tuple(pages), evaluation)


def page_line(page: Path, evaluation: DatasetEvaluation) -> str:
    """The file of a page, its size and number of photos, in a line."""
    photos = len(evaluation.model_scores[0].images)
    return f"{page} ({page.stat().st_size / 1e6:.1f} MB, {photos:,} photos)"


def write_page(evaluation: DatasetEvaluation, folder: Path) -> Path:
    """Write the page of one dataset, and its scores.

    Args:
        evaluation: with attention, if the page is to show it.
        folder: created if it is missing; scores in it of other models on the same images are shown too.

    Raises:
        ShowtellError: a photo cannot be decoded, or the page cannot be written.
    """
    data, sources, model_scores = evaluation.data, evaluation.captions, evaluation.model_scores
    cards = list(evaluation.cards)
    names = {card.model for card in cards}
    earlier = [card for card in earlier_cards(folder, cards[0]) if card.model not in names][
        -_MAX_EARLIER_RUNS:
    ]
    page = Report(
        title=f"{' and '.join(source.name for source in sources)} on {data.name}",
        subtitle="; ".join(card.title for card in cards),
        models=tuple(source.name for source in sources),
        columns=tuple(card.model for card in [*cards, *earlier]),
        rows=tuple(_rows([*cards, *earlier])),
        footnotes=tuple(_footnotes(cards)),
        comparison=tuple(_comparison(evaluation)),
        curves=_curves([re.sub(r"@\d+$", "", source.name) for source in sources]),
        images=tuple(_images(data, sources, model_scores)),
        usage=tuple(_usage(data, sources, model_scores)),
    )
    path = folder / f"{'-vs-'.join(file_stem(source.name) for source in sources)}.html"
    evaluation.save(folder)
    try:
        return write_report(page, path)
    except OSError as error:
        raise ShowtellError(f"{path}: cannot be written ({error.strerror or error})") from error


def _rows(cards: list[ScoreCard]) -> Iterator[ScoreRow]:
    """One row per score: the value and interval of each card that has it."""
    for name in cards[0].values:
        cells = []
        for card in cards:
            interval = card.intervals.get(name)
            low, high = (interval.low, interval.high) if interval else (None, None)
            cells.append((card.values[name], low, high) if name in card.values else None)
        yield ScoreRow(name, tuple(cells), METRIC_DESCRIPTIONS.get(name, ""))


def _footnotes(cards: list[ScoreCard]) -> Iterator[str]:
    """Notes under the table: those that hold for all models once, the others with the model's name."""
    yield "Small figures: the 95 % interval over resampled photos."
    notes = [
        [f"Skipped metric: {name} ({reason})." for name, reason in card.left_out.items()]
        + [f"{number:,} dropped ({reason})." for reason, number in card.skipped.items()]
        for card in cards
    ]
    for note in dict.fromkeys(note for some in notes for note in some):
        of = [card.model for card, some in zip(cards, notes, strict=True) if note in some]
        yield note if len(of) == len(cards) else f"{', '.join(of)}: {note}"


def _comparison(evaluation: DatasetEvaluation) -> Iterator[tuple[str, float, float, float, float]]:
    for name, difference in evaluation.differences.items():
        yield name, difference.value, difference.interval.low, difference.interval.high, difference.p_value


def _curves(models: list[str]) -> Mapping[str, Mapping[str, list[tuple[float, float]]]]:
    """Title -> line -> (epoch, value), of the runs that have a history."""
    plots: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for model in models:
        file = Path(model) / HISTORY
        if not file.is_file():
            continue
        with file.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            columns, rows = list(reader.fieldnames or ()), list(reader)
        for plot, kinds in _CURVES.items():
            for column in (c for kind in kinds for c in columns if c.partition("/")[0] == kind):
                points = [(float(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
                name = f"{model}: {column}" if len(models) > 1 else column
                if points := [(x, y) for x, y in points if math.isfinite(y)]:
                    plots.setdefault(plot, {})[name] = points
    return plots


def _images(
    data: EvaluationData, sources: Sequence[ModelCaptions], model_scores: Sequence[Scores]
) -> Iterator[ReportImage]:
    """Each photo with its captions; if a photo cannot be decoded, the error names it."""
    indices = {image: index for index, image in enumerate(model_scores[0].images)}
    scores = [
        {name: m.statistics[name].images for name in ("CIDEr", "BLEU-4", "ROUGE-L")} for m in model_scores
    ]
    for image in data.images:
        if image.image_id not in indices:
            continue
        index = indices[image.image_id]
        shown = [
            _shown(source, image, {name: float(values[index]) for name, values in each.items()})
            for source, each in zip(sources, scores, strict=True)
        ]
        try:
            thumbnail = make_thumbnail(image.path)
        except ImageError as error:
            raise UsageError(f"{error}; the report shows all photos: replace it") from error
        yield ReportImage(image.path.name, thumbnail, image.captions, tuple(shown))


def _shown(source: ModelCaptions, image: CaptionedImage, scores: dict[str, float]) -> Shown:
    best = source.best.get(image.image_id)
    if best is None:
        text = source.texts[image.image_id][0]
        return Shown(text, tuple(text.split()), (), None, scores.pop("CIDEr"), scores, None)
    probabilities = tuple(np.exp(best.word_log_probs[: len(best.words)]).tolist())
    return Shown(
        best.text,
        best.words,
        probabilities,
        best.attention,
        scores.pop("CIDEr"),
        scores,
        best.confidence,
        best.doubtful,
    )


def _usage(
    data: EvaluationData, sources: Sequence[ModelCaptions], model_scores: Sequence[Scores]
) -> Iterator[WordUsage]:
    references = {image.image_id: image.captions for image in data.images}
    reference_words = [
        [tokenize(caption) for caption in references[image]] for image in model_scores[0].images
    ]
    for source in sources:
        yield word_usage(
            [tokenize(source.texts[image][0]) for image in model_scores[0].images], reference_words
        )
