"""Evaluate a model, or a file of predictions, on a split of a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from showtell.config import References, Runtime, SearchConfig, Segmentation
from showtell.errors import ShowtellError
from showtell.evaluation.captioning import captions_of
from showtell.evaluation.dataset import DataInput, datasets_of, load_data
from showtell.evaluation.results import DatasetEvaluation, Evaluation, EvaluationData, ModelCaptions
from showtell.evaluation.scorecard import ScoreCard
from showtell.evaluation.scores import Scores, compute_scores
from showtell.evaluation.settings import EvaluatedSplit, EvaluationSettings, models_of, search_of
from showtell.utils.keywords import suggests_keywords

if TYPE_CHECKING:  # it imports torch, which takes seconds: a file of predictions needs none of it
    import torch

    from showtell.captioning.base import CaptioningModel


@suggests_keywords()
def evaluate(
    model: str | os.PathLike[str] | CaptioningModel | None = None,
    data: DataInput = None,
    *,
    predictions: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | CaptioningModel | None = None,
    split: EvaluatedSplit | None = None,
    references: References | None = None,
    segmentation: Segmentation | None = None,
    instances: str | os.PathLike[str] | None = None,
    beam_size: int = SearchConfig.beam_size,
    num_captions: int = 1,
    java: bool = True,
    image_size: int | None = None,
    runtime: Runtime = "auto",
    device: str | torch.device | None = None,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] = "cache",
    attention: bool = False,
    on_data: Callable[[EvaluationData], None] | None = None,
    on_dataset: Callable[[DatasetEvaluation], None] | None = None,
) -> Evaluation:
    """Measure captions: of a model on a split of a dataset, or of a file of predictions.

    Args:
        model: a name that `showtell.load` takes, or a model; by default `everyday`.
        data: the dataset's folder or annotation file, or a `DataConfig`; by default what the run was trained
            on, else flickr8k.
        predictions: a file of captions to measure (.json, .jsonl, .csv), in place of `model`.
        against: a second model, or file of predictions, to compare with.
        split: the images to caption: `train`, `val`, `test` or `all`; by default `val`, of a file of
            predictions on data without splits `all`. A split that the data lack is cut as training cuts it.
        references: captions to compare with: human captions (`person`), or `all`; by default the run's.
        segmentation: what separates words: `spaces`, or `characters`, for scripts without them; by default
            the run's.
        instances: COCO's instances_*.json, for object hallucination (CHAIR).
        beam_size: beams; 1 is greedy.
        num_captions: captions per image; if above 1, diversity scores are computed.
        java: also compute METEOR and SPICE, if Java and their models are present.
        image_size: of models that are named: see `showtell.load`.
        runtime: of models that are named: see `showtell.load`.
        device: of models that are named: see `showtell.load`.
        skip_bad: drop and count unusable annotations, predictions and images.
        cache: folder of the synthetic scenes of a run.
        attention: keep the attention for each word, for a report.
        on_data: called with the images of each dataset before any is captioned.
        on_dataset: called with the evaluation on each dataset as soon as it is done.

    Raises:
        ShowtellError: something cannot be used.
    """
    settings = EvaluationSettings(
        models=models_of(model, predictions, against),
        split=split,
        references=references,
        segmentation=segmentation,
        instances=None if instances is None else Path(instances),
        search=search_of(beam_size, num_captions),
        java=java,
        image_size=image_size,
        runtime=runtime,
        device=device,
        skip_bad=skip_bad,
        cache=Path(cache),
        attention=attention,
    )
    configs = datasets_of(settings, data)
    loaded = [load_data(settings, name, config) for name, config in configs.items()]
    if on_data is not None:
        for each in loaded:
            on_data(each)
    done = []
    for config, each in zip(configs.values(), loaded, strict=True):
        done.append(_evaluate(settings, each, config.segmentation, among_several=len(configs) > 1))
        if on_dataset is not None:
            on_dataset(done[-1])
    return Evaluation(tuple(done))


def results_folder(out: str | os.PathLike[str] | None, evaluation: DatasetEvaluation) -> Path:
    """The folder of the results on a dataset.

    Args:
        out: the folder that was asked for, which holds a folder for each of several datasets; None for
            reports/<dataset>-<split>.
        evaluation: on the dataset.
    """
    name = f"{evaluation.data.name}-{evaluation.data.split}"
    if out is None:
        return Path("reports", name)
    return Path(out, name) if evaluation.among_several else Path(out)


def _evaluate(
    settings: EvaluationSettings, data: EvaluationData, segmentation: Segmentation, *, among_several: bool
) -> DatasetEvaluation:
    """Caption the images of a dataset by one model or two, and measure."""
    captions = tuple(captions_of(model, data, settings) for model in settings.models)
    if segmentation == "characters":
        captions = tuple(each.segmented() for each in captions)
    model_scores = score_all(captions, data, java=settings.java)
    cards = tuple(
        ScoreCard.of(
            each,
            model=source.name,
            data=data.name,
            split=data.split,
            search=source.search,
            skipped=data.skipped + source.skipped,
        )
        for source, each in zip(captions, model_scores, strict=True)
    )
    return DatasetEvaluation(data, captions, tuple(model_scores), cards, among_several)


def score_all(sources: Sequence[ModelCaptions], data: EvaluationData, *, java: bool) -> list[Scores]:
    """Measure each on the images that all have captions of."""
    common = [i.image_id for i in data.images if all(i.image_id in source.texts for source in sources)]
    if not common:
        raise ShowtellError("no image has captions of both; compare captions of the same images")
    references = {image.image_id: image.captions for image in data.images}
    return [
        compute_scores(
            {image: source.texts[image] for image in common},
            references,
            training=data.training,
            objects=data.objects,
            java=java,
            confidences=source.confidences,
        )
        for source in sources
    ]
