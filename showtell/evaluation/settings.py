"""The settings of an evaluation: what is captioned by which model, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict, get_args

from showtell.checkpoints.names import require_model
from showtell.config import References, Runtime, SearchConfig, Segmentation
from showtell.data.records import Split
from showtell.data.transforms import check_image_size
from showtell.errors import ConfigError, UsageError
from showtell.evaluation.predictions import SUFFIXES, require_predictions
from showtell.search.settings import search_config
from showtell.utils.runs import resolve_last
from showtell.utils.shipped import DEFAULT_MODEL

if TYPE_CHECKING:  # it imports torch, which takes seconds: a file of predictions needs none of it
    import torch

    from showtell.captioning.base import CaptioningModel

EvaluatedSplit = Split | Literal["all"]
SPLITS: Final[tuple[EvaluatedSplit, ...]] = (*get_args(Split), "all")


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


@dataclass(frozen=True)
class EvaluationSettings:
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
        for model in self.models:
            if is_file(model):
                require_predictions(Path(str(model)))
            elif isinstance(model, str):
                require_model(model)

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


def models_of(
    model: str | os.PathLike[str] | CaptioningModel | None,
    predictions: str | os.PathLike[str] | None,
    against: str | os.PathLike[str] | CaptioningModel | None,
) -> tuple[str | CaptioningModel, ...]:
    """The model or file of predictions to evaluate, and the one to compare it with if there is one.

    Raises:
        UsageError: they are the same, both a model and predictions are given, or predictions are not in a
            file of a known form.
    """
    if predictions is not None and model is not None:
        raise UsageError(
            f"predictions {predictions} and a model: leave one of the two out, or, to compare them, name the"
            " model with --against (against)"
        )
    if predictions is not None and not is_file(os.fspath(predictions)):
        raise UsageError(f"{predictions}: predictions are read from {', '.join(SUFFIXES)} files; name one")
    given: list[str | os.PathLike[str] | CaptioningModel] = [
        next(each for each in (predictions, model, DEFAULT_MODEL) if each is not None)
    ]
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


def search_of(beam_size: int, num_captions: int) -> SearchConfig:
    """The search of the models.

    Raises:
        UsageError: a value is out of range.
    """
    try:
        return search_config({"beam_size": beam_size, "num_captions": num_captions}, function="evaluate")
    except ConfigError as error:
        raise UsageError(str(error).replace("search.", "")) from error
