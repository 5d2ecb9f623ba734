"""Write a page about captions: scores, curves, and every photo with what is said of it.

One HTML file that needs nothing else, in any browser. It takes what `evaluate` takes.
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from showtell.commands import evaluation
from showtell.commands.evaluation import Captions, EvaluationData
from showtell.data.records import CaptionedImage
from showtell.data.text import tokenize
from showtell.errors import ImageError, ShowtellError, UsageError
from showtell.evaluation.measure import MEANING, Measures, compare_measures
from showtell.evaluation.scorecard import ScoreCard, earlier_cards, file_stem
from showtell.evaluation.word_usage import WordUsage, word_usage
from showtell.reporting import Picture, Report, ScoreRow, Shown, make_thumbnail, write_report

log = logging.getLogger(__name__)

_CURVES = {"Loss": ("train_loss", "val_loss"), "Scores on validation": ("CIDEr", "BLEU-4")}
"""Columns of history.csv; where a run had several datasets, those of each (`val_loss/coco`) are shown too."""
_EARLIER = 6
"""Columns of earlier runs at most: the latest."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `showtell report`."""
    evaluation.add_arguments(parser)


def run(parser: ArgumentParser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Report."""
    several = evaluation.datasets(args)
    for name, config in several.items():
        found = evaluation.evaluate(args, config, name, attention=True)
        folder = evaluation.results_folder(args, found[0], within=len(several) > 1)
        _report(folder, evaluation.compared(args), *found)


def _report(
    folder: Path,
    runs: list[str],
    data: EvaluationData,
    sources: list[Captions],
    measures: list[Measures],
    cards: list[ScoreCard],
) -> None:
    """Write the page of one dataset, and its scores."""
    names = {card.model for card in cards}
    earlier = [card for card in earlier_cards(folder, cards[0]) if card.model not in names][-_EARLIER:]
    report = Report(
        title=f"{' and '.join(source.name for source in sources)} on {data.name}",
        subtitle="; ".join(card.title for card in cards),
        models=tuple(source.name for source in sources),
        columns=tuple(card.model for card in [*cards, *earlier]),
        rows=tuple(_rows([*cards, *earlier])),
        footnotes=tuple(_footnotes(cards)),
        comparison=tuple(_comparison(measures)) if len(cards) > 1 else (),
        curves=_curves(runs),
        pictures=tuple(_pictures(data, sources, measures)),
        usage=tuple(_usage(data, sources, measures)),
    )
    path = folder / f"{'-vs-'.join(file_stem(source.name) for source in sources)}.html"
    evaluation.save_cards(cards, folder)
    try:
        write_report(report, path)
    except OSError as error:
        raise ShowtellError(f"{path}: cannot be written ({error.strerror or error})") from error
    log.info("%s", cards[0].title)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB, {len(report.pictures):,} photos)")


def _rows(cards: list[ScoreCard]) -> Iterator[ScoreRow]:
    """A row a score: the value and interval of each card that has it."""
    for name in cards[0].values:
        cells = []
        for card in cards:
            interval = card.intervals.get(name)
            low, high = (interval.low, interval.high) if interval else (None, None)
            cells.append((card.values[name], low, high) if name in card.values else None)
        yield ScoreRow(name, tuple(cells), MEANING.get(name, ""))


def _footnotes(cards: list[ScoreCard]) -> Iterator[str]:
    """What stands under the table: what holds of all models once, the rest with the model's name."""
    yield "Small figures: the 95 % interval over resampled photos."
    notes = [
        [f"{name} left out ({reason})." for name, reason in card.left_out.items()]
        + [f"{number:,} dropped ({reason})." for reason, number in card.skipped.items()]
        for card in cards
    ]
    for note in dict.fromkeys(note for some in notes for note in some):
        of = [card.model for card, some in zip(cards, notes, strict=True) if note in some]
        yield note if len(of) == len(cards) else f"{', '.join(of)}: {note}"


def _comparison(measures: list[Measures]) -> Iterator[tuple[str, float, float, float, float]]:
    for name, found in compare_measures(*measures).items():
        yield name, found.value, found.interval.low, found.interval.high, found.p_value


def _curves(models: list[str]) -> Mapping[str, Mapping[str, list[tuple[float, float]]]]:
    """Title -> line -> (epoch, value), of the runs that have a history."""
    plots: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for model in models:
        file = Path(model) / "history.csv"
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


def _pictures(data: EvaluationData, sources: list[Captions], measures: list[Measures]) -> Iterator[Picture]:
    """Each photo with its captions; where a photo's file cannot be shown, the report says which."""
    places = {image: place for place, image in enumerate(measures[0].images)}
    scores = [{name: m.statistics[name].images for name in ("CIDEr", "BLEU-4", "ROUGE-L")} for m in measures]
    for image in data.images:
        if image.image_id not in places:
            continue
        place = places[image.image_id]
        shown = [
            _shown(source, image, {name: float(values[place]) for name, values in each.items()})
            for source, each in zip(sources, scores, strict=True)
        ]
        try:
            thumbnail = make_thumbnail(image.path)
        except ImageError as error:
            raise UsageError(f"{error}; the report shows the photos: mend it") from error
        yield Picture(image.path.name, thumbnail, image.captions, tuple(shown))


def _shown(source: Captions, image: CaptionedImage, scores: dict[str, float]) -> Shown:
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


def _usage(data: EvaluationData, sources: list[Captions], measures: list[Measures]) -> Iterator[WordUsage]:
    references = {image.image_id: image.captions for image in data.images}
    people = [[tokenize(caption) for caption in references[image]] for image in measures[0].images]
    for source in sources:
        yield word_usage([tokenize(source.texts[image][0]) for image in measures[0].images], people)
