"""Evaluate a model, or a file of predictions, on a split of a dataset."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict, get_args

import yaml
from tqdm import tqdm

from showtell.api import load
from showtell.config import DataConfig, References, Runtime, SearchConfig, Segmentation
from showtell.data.prepare import by_people, load_images, named_datasets, with_captions
from showtell.data.records import Split
from showtell.data.splits import by_split
from showtell.data.transforms import check_image_size
from showtell.errors import ConfigError, ShowtellError, UsageError, message_line
from showtell.evaluation.chair import load_instances
from showtell.evaluation.predictions import SUFFIXES, read_predictions
from showtell.evaluation.results import DatasetEvaluation, Evaluation, EvaluationData, ModelCaptions
from showtell.evaluation.scorecard import UNDECODED, ScoreCard
from showtell.evaluation.scores import Scores, compute_scores
from showtell.search.settings import search_config
from showtell.utils.keywords import suggests_keywords
from showtell.utils.progress import bars_hidden
from showtell.utils.runs import CONFIG, resolve_last
from showtell.utils.shipped import DEFAULT_MODEL
from showtell.utils.yaml_files import read_yaml

if TYPE_CHECKING:  # it imports torch, which takes seconds: a file of predictions needs none of it
    import torch

    from showtell.captioning.base import CaptioningModel
    from showtell.captioning.caption import Caption

log = logging.getLogger(__name__)

DEFAULT_DATA = "flickr8k"
EvaluatedSplit = Split | Literal["all"]
SPLITS: Final[tuple[EvaluatedSplit, ...]] = (*get_args(Split), "all")
DataInput = str | os.PathLike[str] | DataConfig | None


class EvaluationKeywords(TypedDict, total=False):
    """The keyword arguments of `evaluate` that `showtell.report` takes too."""

    predictions: str | os.PathLike[str] | None
    against: str | os.PathLike[str] | CaptioningModel | None
    split: EvaluatedSplit | None
    references: References | None
    segmentation: Segmentation | None
    instances: str | os.PathLike[str] | None
    beam_size: int
    num_captions: int
    java: bool
    image_size: int | None
    runtime: Runtime
    device: str | torch.device | None
    skip_bad: bool
    cache: str | os.PathLike[str]


@suggests_keywords()
def evaluate(
    model: str | os.PathLike[str] | CaptioningModel = DEFAULT_MODEL,
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
    on_dataset: Callable[[DatasetEvaluation], None] | None = None,
) -> Evaluation:
    """Measure captions: of a model on a split of a dataset, or of a file of predictions.

    Args:
        model: a name that `showtell.load` takes, or a model.
        data: the dataset's folder or annotation file, or a `DataConfig`; by default what the run was trained
            on, else flickr8k.
        predictions: a file of captions to measure instead of a model's (.json, .jsonl, .csv).
        against: a second model, or file of predictions, to compare with.
        split: the images to caption: `train`, `val`, `test` or `all`; by default `val`, of a file of
            predictions on data without splits `all`.
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
        on_dataset: called with the evaluation on each dataset as soon as it is done.

    Raises:
        ShowtellError: something cannot be used.
    """
    settings = _Settings(
        models=_models(model, predictions, against),
        split=split,
        references=references,
        segmentation=segmentation,
        instances=None if instances is None else Path(instances),
        search=_search(beam_size, num_captions),
        java=java,
        image_size=image_size,
        runtime=runtime,
        device=device,
        skip_bad=skip_bad,
        cache=Path(cache),
        attention=attention,
    )
    configs = _datasets(settings, data)
    done = []
    for name, config in configs.items():
        done.append(_evaluate(settings, name, config, among_several=len(configs) > 1))
        if on_dataset is not None:
            on_dataset(done[-1])
    return Evaluation(tuple(done))


@dataclass(frozen=True)
class _Settings:
    """The arguments of `evaluate`, checked; models are names or models."""

    models: tuple[str | CaptioningModel, ...]
    split: EvaluatedSplit | None
    references: References | None
    segmentation: Segmentation | None
    instances: Path | None
    search: SearchConfig
    java: bool
    image_size: int | None
    runtime: Runtime
    device: str | torch.device | None
    skip_bad: bool
    cache: Path
    attention: bool

    def __post_init__(self) -> None:
        for name, choices in (
            ("split", SPLITS),
            ("references", get_args(References)),
            ("segmentation", get_args(Segmentation)),
        ):
            if (value := getattr(self, name)) not in (None, *choices):
                raise UsageError(f"{name} {value!r}: take one of {', '.join(choices)}")
        check_image_size(self.image_size)
        if self.image_size is not None and not any(is_name(m) and not is_file(m) for m in self.models):
            raise UsageError("image_size is for models that are named: leave it out")

    @property
    def need_files(self) -> bool:
        """Whether the images' files have to be there."""
        return self.attention or not all(map(is_file, self.models))


def is_name(model: object) -> bool:
    """Whether a model is given by its name."""
    return isinstance(model, str)


def is_file(model: object) -> bool:
    """Whether it is the name of a file of predictions, not a model."""
    return isinstance(model, str) and Path(model).suffix.lower() in SUFFIXES


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


def _models(
    model: str | os.PathLike[str] | CaptioningModel,
    predictions: str | os.PathLike[str] | None,
    against: str | os.PathLike[str] | CaptioningModel | None,
) -> tuple[str | CaptioningModel, ...]:
    """The predictions to score, and the data to compare them with.

    Raises:
        UsageError: they are the same, or predictions are not in a file of a known form.
    """
    if predictions is not None and not is_file(os.fspath(predictions)):
        raise UsageError(f"{predictions}: predictions are read from {', '.join(SUFFIXES)} files; name one")
    given: list[str | os.PathLike[str] | CaptioningModel] = [model if predictions is None else predictions]
    if against is not None:
        given.append(against)
    models = tuple(resolve_last(os.fspath(m)) if isinstance(m, str | os.PathLike) else m for m in given)
    for each in models:
        if not isinstance(each, str) and not hasattr(each, "caption_stream"):
            raise UsageError(
                f"a model is a name or a model that showtell.load has opened, not {type(each).__name__}"
            )
    if len(models) == 2 and models[0] == models[1]:
        raise UsageError(f"against {models[1]}: that is the model itself; name another")
    return models


def _search(beam_size: int, num_captions: int) -> SearchConfig:
    try:
        return search_config({"beam_size": beam_size, "num_captions": num_captions}, function="evaluate")
    except ConfigError as error:
        raise UsageError(str(error).replace("search.", "")) from error


def _datasets(settings: _Settings, data: DataInput) -> dict[str, DataConfig]:
    """The datasets to evaluate on by their names: of a run that was trained on several each by itself.

    Raises:
        UsageError: a dataset is nowhere.
    """
    config = _data_config(settings.models[0], data)
    config = replace(
        config,
        skip_bad=config.skip_bad or settings.skip_bad,
        references=settings.references or config.references,
        segmentation=settings.segmentation or config.segmentation,
        tuning=False,
    )
    if config.root is None or config.format == "scenes":
        return {"scenes": config}
    return {
        name: replace(config, root=[dataset], format="auto", images=None)
        for name, dataset in named_datasets(config).items()
    }


def _data_config(model: str | CaptioningModel, data: DataInput) -> DataConfig:
    """The data that are given, else those of the run, else the default."""
    if isinstance(data, DataConfig):
        return data
    if data is not None:
        return DataConfig(root=os.fspath(data))
    name = model if isinstance(model, str) else model.name or ""
    run_config = Path(name, CONFIG)
    if name and not is_file(name) and run_config.is_file():
        try:
            return DataConfig(**read_yaml(run_config)["data"])
        except (OSError, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
            reason = message_line(str(error))
            raise UsageError(f"{run_config}: damaged ({reason}); name the data") from error
    return DataConfig(root=DEFAULT_DATA)


def _evaluate(
    settings: _Settings, name: str, config: DataConfig, *, among_several: bool
) -> DatasetEvaluation:
    """Caption the images of a dataset by one model or two, and measure."""
    data = _load_data(settings, name, config)
    captions = tuple(_captions_of(model, data, settings) for model in settings.models)
    if config.segmentation == "characters":
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


def _load_data(settings: _Settings, name: str, config: DataConfig) -> EvaluationData:
    """The images of the split, with the captions to compare with.

    Raises:
        UsageError: there are none in the split, or no such dataset.
        AnnotationError: the annotations cannot be used.
    """
    files_only = all(map(is_file, settings.models))
    cut_splits = not files_only and settings.split != "all"  # from the training images, as training does
    _, images, skipped = load_images(
        config, settings.cache, need_files=settings.need_files, cut_splits=cut_splits
    )
    without_splits = not cut_splits and all(image.split == "train" for image in images)
    split: EvaluatedSplit = settings.split or ("all" if without_splits else "val")
    chosen = images if split == "all" else by_split(images, split)
    if config.references == "person":
        chosen = with_captions([by_people(image) for image in chosen], skipped)
    if not chosen:
        present = sorted({image.split for image in images})
        raise UsageError(f"{name}: no images in the split {split!r}; choose the split of {present} or 'all'")
    training = [] if split in ("train", "all") else by_split(images, "train")
    if config.model_captions == 0:
        training = [by_people(image) for image in training]
    ids = {image.image_id for image in chosen}
    return EvaluationData(
        name,
        split,
        chosen,
        [caption for image in training for caption in image.captions],
        load_instances(settings.instances) if settings.instances else None,
        skipped,
        [image for image in images if image.image_id not in ids],
    )


def _captions_of(model: str | CaptioningModel, data: EvaluationData, settings: _Settings) -> ModelCaptions:
    """Captions of the images: from a file of predictions, or by a model.

    Raises:
        ShowtellError: the file, the model or an image cannot be used.
    """
    if not isinstance(model, str):
        return _caption(model, data, settings, model.name or type(model).__name__)
    if is_file(model):
        read = read_predictions(Path(model), data.images, skip_bad=settings.skip_bad, others=data.others)
        return ModelCaptions(model, read.captions, {}, read.skipped_by_reason, "")
    opened = load(model, settings.device, runtime=settings.runtime, image_size=settings.image_size)
    return _caption(
        opened, data, settings, model if settings.image_size is None else f"{model}@{settings.image_size}"
    )


def _caption(model: CaptioningModel, data: EvaluationData, settings: _Settings, name: str) -> ModelCaptions:
    stream = model.caption_stream(
        data.images,
        settings.search,
        open_source=lambda image: image.path,
        attention=settings.attention and model.has_attention,
    )
    captions: dict[str, tuple[Caption, ...]] = {}
    skipped: Counter[str] = Counter()
    for done in tqdm(
        stream, total=len(data.images), desc=f"captions by {name}", unit="img", disable=bars_hidden()
    ):
        if done.error is None:
            captions[done.source.image_id] = done.captions
        elif settings.skip_bad:
            log.warning("skipped %s", done.error)
            skipped[UNDECODED] += 1
        else:
            raise ShowtellError(
                f"{done.error}; replace it, or drop and count such photos (skip_bad, --skip-bad)"
            )
    if not captions:
        raise ShowtellError(f"{data.name}: no photo of the split can be decoded")
    return ModelCaptions(
        name,
        {image: tuple(caption.text for caption in some) for image, some in captions.items()},
        {image: some[0] for image, some in captions.items()},
        skipped,
        f"beam {settings.search.beam_size}",
        model.calibration is not None and model.calibration.doubtful is not None,
    )


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
