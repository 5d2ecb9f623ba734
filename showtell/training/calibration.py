"""Calibrate the model's confidence on the validation set, as the last step of training."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.data.records import CaptionedImage
from showtell.data.tokenizer import tokenize
from showtell.errors import DataError
from showtell.evaluation.reliability import Reliability, caption_labels, word_labels
from showtell.training.calibration_fit import calibrate
from showtell.training.validation import Predicted
from showtell.utils.files import write_atomic
from showtell.utils.plots import plot_lines

log = logging.getLogger(__name__)

PLOT = "reliability.png"
FIGURES = "reliability.json"

_Measured = dict[str, dict[str, Reliability]]


def calibrate_model(
    captioner: Captioner, folder: Path, captions: Sequence[Predicted], images: Sequence[CaptionedImage]
) -> dict[str, dict[str, Reliability]]:
    """Calibrate a model on its captions of the validation images, save it again, and keep its reliability.

    Captions are compared with human captions of the same dataset. A dataset with too few images is left out.

    Args:
        captioner: the model; the calibration is stored in it.
        folder: that of the run; the model, `reliability.png` and `reliability.json` are written to it.
        captions: of the model.
        images: these images, in their order.

    Returns:
        Of each dataset, by its name, the reliability of "captions" and of "words"; empty if there are too
        few images to calibrate with.
    """
    try:
        captioner.calibration, reliability = _calibrate(captions, images)
    except DataError as error:
        log.info("Confidence is not calibrated: %s; raise data.val_fraction, or add captions", error)
        return {}
    captioner.save(folder)
    _plot(reliability, folder / PLOT)
    figures = _figures(captioner.calibration, reliability)
    write_atomic(folder / FIGURES, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    _tell(captioner.calibration, reliability)
    return reliability


def _calibrate(
    predictions: Sequence[Predicted], images: Sequence[CaptionedImage]
) -> tuple[Calibration, _Measured]:
    """Calibrate on the images of all datasets that are large enough.

    Raises:
        DataError: none is, or the captions have no words.
    """
    people = [[tokenize(caption) for caption in image.references or image.captions] for image in images]
    names = np.array([image.dataset for image in images])
    chosen: list[int] = []
    good: list[bool] = []
    left: dict[str, str] = {}
    for name in dict.fromkeys(names.tolist()):
        own = np.flatnonzero(names == name).tolist()
        try:
            good += caption_labels([predictions[i][0] for i in own], [people[i] for i in own]).tolist()
            chosen += own
        except DataError as error:
            left[name] = str(error)
    if not chosen:
        raise DataError(next(iter(left.values()), "no validation images"))
    for name, reason in left.items():
        log.info("Confidence is calibrated without %s: %s", name, reason)
    return calibrate(
        [predictions[i][1] for i in chosen],
        good,
        [word_labels(predictions[i][0], people[i]) for i in chosen],
        [names[i] for i in chosen],
    )


def _plot(measured: _Measured, path: Path) -> None:
    lines = {
        f"{kind}, {dataset}" if len(measured) > 1 else kind: reliability.bins()
        for dataset, parts in measured.items()
        for kind, reliability in parts.items()
    }
    plot_lines(
        lines | {"perfectly calibrated": [(0.0, 0.0), (1.0, 1.0)]},
        path,
        title="Confidence on validation, cross-fitted",
        x_label="confidence",
        y_label="share that is right",
        markers=True,
    )


def _figures(calibration: Calibration, measured: _Measured) -> dict[str, Any]:
    """The content of `reliability.json`."""
    datasets = {dataset: {k: _values(r) for k, r in parts.items()} for dataset, parts in measured.items()}
    return {"doubtful_below": calibration.doubtful, "datasets": datasets}


def _values(reliability: Reliability) -> Mapping[str, Any]:
    values: dict[str, Any] = {
        "number": len(reliability.labels),
        "right": float(reliability.labels.mean()),
        "calibration_error": reliability.ece,
        "bins": reliability.bins(),
    }
    if reliability.doubtful is not None:
        values["doubtful"] = reliability.doubtful_share
        values["doubtful_precision"] = reliability.doubtful_precision
    return values


def _tell(calibration: Calibration, measured: _Measured) -> None:
    number = sum(len(parts["captions"].labels) for parts in measured.values())
    if calibration.doubtful is None:
        doubt = "no caption is doubtful, since the confidence does not tell good captions from others"
    else:
        doubt = f"captions below {calibration.doubtful:.2f} are doubtful"
    log.info("Confidence calibrated on %s captions: %s", f"{number:,}", doubt)
    for dataset, parts in measured.items():
        captions, words = parts["captions"], parts["words"]
        line = (
            f"{_percent(captions.labels.mean())} of captions are good (calibration error"
            f" {100 * captions.ece:.1f} %), {_percent(captions.doubtful_share or 0.0)} are doubtful"
        )
        if captions.doubtful_precision is not None:
            line += f" and {_percent(captions.doubtful_precision)} of these are not good"
        line += f"; {_percent(words.labels.mean())} of words are right ({100 * words.ece:.1f} %)"
        log.info("Confidence%s: %s", f" on {dataset}" if dataset else "", line)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
