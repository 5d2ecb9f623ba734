"""Render the report page from scores, training curves and captioned photos."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from showtell.evaluation.scores import format_score
from showtell.evaluation.word_usage import WordUsage
from showtell.utils.files import write_atomic
from showtell.utils.plots import plot_distribution, plot_lines
from showtell.web import read_asset
from showtell.web.heat import attention_bytes
from showtell.web.templates import load_template

Cell = tuple[float, float | None, float | None]

_CHART: Final = (5.0, 3.2)
"""Inches: so small that its text can be read on a phone."""


@dataclass(frozen=True)
class ScoreRow:
    """A score of each column: (value, low, high), without an interval (value, None, None), or None."""

    name: str
    values: tuple[Cell | None, ...]
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """A caption of an image, as a page shows it.

    Attributes:
        text: to be read.
        words: the words of the caption, as the model generated them.
        probabilities: of each word, or empty if they are not known.
        attention: (T, rows, columns) attention map of each word, or None.
        score: CIDEr of the image.
        scores: name -> other scores of the image.
        confidence: probability that the caption is good, or None.
        doubtful: whether that is below the model's threshold.
    """

    text: str
    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    attention: npt.NDArray[np.float32] | None
    score: float
    scores: Mapping[str, float]
    confidence: float | None
    doubtful: bool = False


@dataclass(frozen=True)
class ReportImage:
    """A photo, a small copy of it, human captions, and those of one model or two."""

    name: str
    thumbnail: bytes
    references: tuple[str, ...]
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Report:
    """The content of a report page.

    Attributes:
        title: of the page.
        subtitle: what was measured.
        models: names of the one or two models whose captions are shown.
        columns: names over the table of scores: of these models, then of earlier runs.
        rows: of that table.
        footnotes: under it.
        comparison: (name, difference, low, high, p) of two models' scores.
        curves: title -> line -> points (epoch, value).
        images: the gallery.
        usage: of each model.
    """

    title: str
    subtitle: str
    models: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    footnotes: tuple[str, ...]
    comparison: tuple[tuple[str, float, float, float, float], ...]
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
    images: tuple[ReportImage, ...]
    usage: tuple[WordUsage, ...]


def write_report(report: Report, path: Path) -> Path:
    """Write the page, whole or not at all: one file, about 8 kB a photo (9 kB with two models).

    Raises:
        OSError: it cannot be written.
    """
    page = load_template("report.html", "reporting", score=format_score, signed=_signed).render(
        report=report,
        charts=_charts(report),
        data=_gallery_data(report),
        css=read_asset("common.css") + read_asset("report.css", __package__),
        js=read_asset("common.js") + read_asset("report.js", __package__),
    )
    return write_atomic(path, page)


def _signed(value: float, name: str) -> str:
    sign = "\N{MINUS SIGN}" if value < 0 else "+"
    return sign + format_score(abs(value), name)


def _charts(report: Report) -> list[tuple[str, str]]:
    """The description of each plot, and its PNG file (base64)."""
    charts = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plot.png")
        for title, lines in report.curves.items():
            plot_lines(lines, path, title=title, x_label="epoch", y_label="", size=_CHART)
            charts.append((_describe_lines(title, lines), base64.b64encode(path.read_bytes()).decode()))
        if report.images:
            scores = {
                name: [image.shown[index].score for image in report.images]
                for index, name in enumerate(report.models)
            }
            title = "CIDEr of each photo"
            plot_distribution(scores, path, title=title, x_label="CIDEr", y_label="photos", size=_CHART)
            charts.append((_describe_scores(scores), base64.b64encode(path.read_bytes()).decode()))
    return charts


def _describe_lines(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    ends = [
        f"{name} goes from {points[0][1]:.3g} to {points[-1][1]:.3g} at epoch {points[-1][0]:g}"
        for name, points in lines.items()
        if points
    ]
    return f"{title} by epoch: {'; '.join(ends)}."


def _describe_scores(scores: Mapping[str, Sequence[float]]) -> str:
    quartiles = [
        "{}: a quarter of the photos is under {:.2f}, half under {:.2f}, three quarters under {:.2f}".format(
            name, *np.quantile(values, (0.25, 0.5, 0.75))
        )
        for name, values in scores.items()
    ]
    return f"How many photos have which CIDEr. {'; '.join(quartiles)}."


def _gallery_data(report: Report) -> str:
    """The images as JSON that may stand inside a page's script element."""
    value = {
        "models": report.models,
        "photos": [
            {
                "name": image.name,
                "image": base64.b64encode(image.thumbnail).decode(),
                "people": image.references,
                "shown": [_shown(shown) for shown in image.shown],
            }
            for image in report.images
        ],
    }
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _shown(shown: Shown) -> dict[str, Any]:
    value: dict[str, Any] = {
        "text": shown.text,
        "words": shown.words,
        "p": [round(p, 3) for p in shown.probabilities],
        "score": round(shown.score, 3),
        "scores": {name: round(score, 3) for name, score in shown.scores.items()},
    }
    if shown.confidence is not None:
        value["confidence"] = round(shown.confidence, 3)
    if shown.doubtful:
        value["doubtful"] = True
    if shown.attention is not None and len(shown.attention):
        value["grid"] = shown.attention.shape[1:]
        value["looked"] = base64.b64encode(attention_bytes(shown.attention)).decode()
    return value
