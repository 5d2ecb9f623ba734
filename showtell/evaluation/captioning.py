"""The captions of an evaluation: by a model, or from a file of predictions."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from showtell.api import load
from showtell.errors import ShowtellError
from showtell.evaluation.predictions import read_predictions
from showtell.evaluation.results import EvaluationData, ModelCaptions
from showtell.evaluation.scorecard import UNDECODED
from showtell.evaluation.settings import EvaluationSettings, is_file
from showtell.utils.progress import bars_hidden

if TYPE_CHECKING:  # it imports torch, which takes seconds
    from showtell.captioning.base import CaptioningModel
    from showtell.captioning.caption import Caption

log = logging.getLogger(__name__)


def captions_of(
    model: str | CaptioningModel, data: EvaluationData, settings: EvaluationSettings
) -> ModelCaptions:
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


def _caption(
    model: CaptioningModel, data: EvaluationData, settings: EvaluationSettings, name: str
) -> ModelCaptions:
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
