"""Evaluations of a few images, for the tests of results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from showtell.data.records import CaptionedImage
from showtell.evaluation.results import DatasetEvaluation, EvaluationData, ModelCaptions
from showtell.evaluation.run import score_all
from showtell.evaluation.scorecard import ScoreCard

WORDS = ("dog", "cat", "bird", "horse")


def make_data(folder: str = "val2017") -> EvaluationData:
    """Four images, each with two captions by people."""
    images = [
        CaptionedImage(Path(folder, f"{n}.jpg"), (f"a {word} stands", f"the {word} is here"), "val", str(n))
        for n, word in enumerate(WORDS, start=1)
    ]
    return EvaluationData("animals", "val", images, [], None, Counter(), [])


def make_captions(name: str, verb: str = "stands", only: int = 4, **skipped: int) -> ModelCaptions:
    """Captions of the first images, as a file of predictions has them."""
    texts = {str(n): (f"a {word} {verb}",) for n, word in enumerate(WORDS[:only], start=1)}
    reasons = {reason.replace("_", " "): number for reason, number in skipped.items()}
    return ModelCaptions(name, texts, {}, Counter(reasons), "")


def make_evaluation(*captions: ModelCaptions, data: EvaluationData | None = None) -> DatasetEvaluation:
    """The evaluation of one set of captions or two."""
    data = data or make_data()
    model_scores = score_all(captions, data, java=False)
    cards = tuple(
        ScoreCard.of(each, model=source.name, data=data.name, split=data.split, skipped=source.skipped)
        for source, each in zip(captions, model_scores, strict=True)
    )
    return DatasetEvaluation(data, captions, tuple(model_scores), cards)
