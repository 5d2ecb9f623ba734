"""All scores of a model's captions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from showtell.data.tokenizer import tokenize
from showtell.errors import DataError
from showtell.evaluation.bleu import bleu_counts, bleu_from_counts
from showtell.evaluation.chair import chair
from showtell.evaluation.cider import cider, cider_d
from showtell.evaluation.diversity import distinct_n, self_bleu
from showtell.evaluation.java_metrics import java_scores
from showtell.evaluation.plugin_scores import plugin_scores
from showtell.evaluation.reliability import Reliability, caption_labels
from showtell.evaluation.rouge import rouge_l
from showtell.evaluation.significance import Difference, Statistic, compare
from showtell.evaluation.validation import ends_badly

Words = list[str]

METRIC_DESCRIPTIONS: Final = {
    "CIDEr": "CIDEr-D, as the COCO evaluation and papers report it",
    "CIDEr-plain": "the first definition of CIDEr, without clipping and length penalty",
    "length": "words per caption",
    "distinct words": "number of distinct words in all captions",
    "novel": "share of captions that do not occur in the training set",
    "bad endings": "share of captions that are empty or end with a word such as 'a' or 'with'",
    "CHAIRs": "share of captions that mention a hallucinated object",
    "CHAIRi": "share of mentioned objects that are hallucinated",
    "self-BLEU": "BLEU-4 of an image's captions against each other: lower is more varied",
    "distinct-1": "distinct words / all words of an image's captions",
    "distinct-2": "distinct word pairs / all words of an image's captions",
    "good": "share of captions at or above the lower quartile of human captions (CIDEr-D)",
    "ECE": "expected calibration error of the confidence",
    "doubtful": "share of captions below the model's confidence threshold",
    "doubtful, bad": "share of doubtful captions that are not good",
}
"""Descriptions of the metrics whose names are not standard."""


FEW_IMAGES: Final = 10
"""With fewer images, CIDEr is unreliable: its document frequencies are those of few references."""

_SHARES: Final = ("novel", "bad endings", "CHAIRs", "CHAIRi", "good", "ECE", "doubtful", "doubtful, bad")


def format_score(value: float, name: str) -> str:
    """A score as text."""
    if name in _SHARES:
        return f"{100 * value:.1f} %"
    if name == "distinct words":
        return f"{value:,.0f}"
    return f"{value:.2f}" if name == "length" else f"{value:.3f}"


@dataclass(frozen=True)
class Confidence:
    """The confidence of a caption.

    Attributes:
        probability: that the caption is good.
        doubtful: whether that is below the model's threshold; None if it has none.
    """

    probability: float
    doubtful: bool | None


@dataclass(frozen=True)
class Scores:
    """Scores of captions.

    Attributes:
        images: the ids of the images, in the order of the statistics' rows.
        statistics: name -> a score that has an interval and can be compared.
        values: name -> a figure of the whole.
        skipped_metrics: name -> why there is no such score.
        notes: name -> what to know of this score.
    """

    images: tuple[str, ...]
    statistics: dict[str, Statistic]
    values: dict[str, float]
    skipped_metrics: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def all_values(self) -> dict[str, float]:
        """Name -> figure, of all."""
        return {name: statistic.value for name, statistic in self.statistics.items()} | self.values


def compute_scores(
    captions: Mapping[str, Sequence[str]],
    references: Mapping[str, Sequence[str]],
    *,
    training: Collection[str] = (),
    objects: Mapping[str, frozenset[str]] | None = None,
    java: bool = True,
    confidences: Mapping[str, Confidence] | None = None,
) -> Scores:
    """Compute the scores of captions.

    Args:
        captions: image id -> captions, best first. The first is scored; the others count for diversity.
        references: image id -> human captions; may contain more images.
        training: captions of the training photos; without any, novelty is left out.
        objects: image id -> names of the COCO objects in it; without, CHAIR is left out.
        java: also compute METEOR and SPICE, if they can run.
        confidences: image id -> confidence of its first caption; empty for a model that is not calibrated,
            None if the captions are not from a model.

    Raises:
        DataError: no captions, or an image without references.
    """
    if not captions:
        raise DataError("no captions to score; give at least one")
    unknown = captions.keys() - references.keys()
    if unknown:
        raise DataError(f"image {min(unknown)}: captioned, but it has no reference captions")
    images = tuple(captions)
    candidates = [tokenize(captions[image][0]) for image in images]
    reference_words = [[tokenize(caption) for caption in references[image]] for image in images]
    statistics = _classic(candidates, reference_words)
    skipped_metrics: dict[str, str] = {}
    values = {"distinct words": float(len({word for words in candidates for word in words}))}
    if java:
        java_results, skipped_metrics = java_scores(
            {image: captions[image][0] for image in images}, {image: references[image] for image in images}
        )
        for name, (score, scores) in java_results.items():
            if name == "METEOR":  # of a corpus it is no mean
                values[name] = score
            else:
                statistics[name] = Statistic.mean(scores)
    else:
        skipped_metrics = dict.fromkeys(("METEOR", "SPICE"), "--java false")
    statistics |= plugin_scores(candidates, reference_words)
    statistics |= _style(candidates, training, skipped_metrics)
    statistics |= _objects(images, candidates, reference_words, objects, skipped_metrics)
    statistics |= _diversity(captions, skipped_metrics)
    if confidences is not None:
        shares, calibration_error = _confidence(
            images, candidates, reference_words, confidences, skipped_metrics
        )
        statistics |= shares
        values |= calibration_error
    note = cider_note(len(images))
    notes = {"CIDEr": note, "CIDEr-plain": note} if note else {}
    return Scores(images, statistics, values, skipped_metrics, notes)


def cider_note(images: int) -> str:
    """What to know of the CIDEr of so few images; empty if they are enough.

    An n-gram weighs log(images / images that have it).
    """
    if images == 1:
        return "0 by definition for a single image: every n-gram has idf 0"
    if images < FEW_IMAGES:
        return f"computed on only {images} images, so document frequencies are unreliable"
    return ""


def compare_scores(first: Scores, second: Scores) -> dict[str, Difference]:
    """Each score that both have and that can be compared: first minus second, on the same images.

    Raises:
        DataError: they are of other images.
    """
    if first.images != second.images:
        raise DataError("these are scores of other images; compare captions of the same images")
    both = first.statistics.keys() & second.statistics.keys()
    return {
        name: compare(score, second.statistics[name])
        for name, score in first.statistics.items()
        if name in both
    }


def _classic(candidates: list[Words], references: list[list[Words]]) -> dict[str, Statistic]:
    counts = bleu_counts(candidates, references)
    scores = {
        f"BLEU-{n}": Statistic(counts, lambda sums, n=n: bleu_from_counts(sums)[..., n - 1])  # type: ignore[misc]
        for n in range(1, 5)
    }
    return scores | {
        "ROUGE-L": Statistic.mean(rouge_l(candidates, references)),
        "CIDEr": Statistic.mean(cider_d(candidates, references)),
        "CIDEr-plain": Statistic.mean(cider(candidates, references)),
    }


def _style(
    candidates: list[Words], training: Collection[str], skipped_metrics: dict[str, str]
) -> dict[str, Statistic]:
    statistics = {
        "length": Statistic.mean([len(words) for words in candidates]),
        "bad endings": Statistic.mean([ends_badly(words) for words in candidates]),
    }
    if training:
        known = {tuple(tokenize(caption)) for caption in training}
        statistics["novel"] = Statistic.mean([tuple(words) not in known for words in candidates])
    else:
        skipped_metrics["novel"] = "no training captions in these data"
    return statistics


def _objects(
    images: tuple[str, ...],
    candidates: list[Words],
    references: list[list[Words]],
    objects: Mapping[str, frozenset[str]] | None,
    skipped_metrics: dict[str, str],
) -> dict[str, Statistic]:
    if objects is None:
        skipped_metrics["CHAIR"] = "no objects given: name COCO's instances_*.json with --instances"
        return {}
    if missing := sum(image not in objects for image in images):
        skipped_metrics["CHAIR"] = (
            f"the --instances file does not list {missing:,} of the images: name that of the split"
        )
        return {}
    sentences, mentions = chair(candidates, references, [objects[image] for image in images])
    return {"CHAIRs": sentences, "CHAIRi": mentions}


def _confidence(
    images: tuple[str, ...],
    candidates: list[Words],
    references: list[list[Words]],
    confidences: Mapping[str, Confidence],
    skipped_metrics: dict[str, str],
) -> tuple[dict[str, Statistic], dict[str, float]]:
    """Whether the confidence holds on these images: shares, and the calibration error."""
    if not confidences:
        skipped_metrics["confidence"] = "the model is not calibrated"
        return {}, {}
    try:
        good = caption_labels(candidates, references)
    except DataError as error:
        skipped_metrics["confidence"] = str(error)
        return {}, {}
    predicted = np.array([confidences[image].probability for image in images])
    statistics = {"good": Statistic.mean(good)}
    calibration_error = {"ECE": Reliability(predicted, good).ece}
    doubtful = np.array([confidences[image].doubtful for image in images], dtype=object)
    if None in doubtful:
        skipped_metrics["doubtful"] = "the model has no confidence threshold"
        return statistics, calibration_error
    marked = doubtful.astype(bool)
    statistics["doubtful"] = Statistic.mean(marked)
    if marked.any():
        statistics["doubtful, bad"] = Statistic.ratio(marked & ~good, marked)
    else:
        skipped_metrics["doubtful, bad"] = "no caption is doubtful"
    return statistics, calibration_error


def _diversity(
    captions: Mapping[str, Sequence[str]], skipped_metrics: dict[str, str]
) -> dict[str, Statistic]:
    several = [[tokenize(caption) for caption in some] for some in captions.values()]
    if min(map(len, several)) < 2:
        skipped_metrics["self-BLEU, distinct-n"] = "needs several captions per image: --num-captions 5"
        return {}
    return {
        "self-BLEU": Statistic.mean(np.array([self_bleu(some) for some in several])),
        "distinct-1": Statistic.mean(np.array([distinct_n(some, 1) for some in several])),
        "distinct-2": Statistic.mean(np.array([distinct_n(some, 2) for some in several])),
    }
