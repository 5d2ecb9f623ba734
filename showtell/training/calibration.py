"""The last step of training: how far the model's captions of the validation images can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from showtell.captioner import Captioner, find_captions
from showtell.config import SearchConfig
from showtell.data.records import CaptionedImage
from showtell.data.text import tokenize
from showtell.errors import DataError
from showtell.evaluation.confidence import Reliability, calibrate, good_captions, right_words
from showtell.plotting import plot_lines

log = logging.getLogger(__name__)

PLOT = "reliability.png"


def calibrate_model(
    folder: Path,
    val_loader: DataLoader[Any],
    images: Sequence[CaptionedImage],
    search: SearchConfig,
) -> dict[str, Reliability]:
    """Calibrate the model of a run on the validation images, save it again, and draw its reliability.

    Args:
        folder: the run's; holds the model, and gets `reliability.png`.
        val_loader: of the validation images.
        images: these images, in their order.
        search: how captions are found.

    Returns:
        The reliability of "captions" and of "words"; empty where there are too few images to calibrate with.
    """
    captioner = Captioner.load(str(folder))
    said, log_probs = _captions(captioner, val_loader, search)
    people = [[tokenize(caption) for caption in image.captions] for image in images]
    try:
        good = good_captions(said, people)
        captioner.calibration, found = calibrate(log_probs, good, list(map(right_words, said, people)))
    except DataError as error:
        log.info("Confidence is not calibrated: %s", error)
        return {}
    captioner.save(folder)
    lines = {name: reliability.bins() for name, reliability in found.items()}
    plot_lines(
        lines | {"promise kept": [(0.0, 0.0), (1.0, 1.0)]},
        folder / PLOT,
        title="Confidence on validation, cross-fitted",
        x_label="confidence",
        y_label="share that is right",
        markers=True,
    )
    log.info(
        "Confidence calibrated on %s captions: %s",
        f"{len(said):,}",
        "; ".join(
            f"{100 * r.right.mean():.0f} % of {name} are right, calibration error {100 * r.error:.1f} %"
            for name, r in found.items()
        ),
    )
    return found


def _captions(
    captioner: Captioner, val_loader: DataLoader[Any], search: SearchConfig
) -> tuple[list[tuple[str, ...]], list[tuple[float, ...]]]:
    """The best caption of each image in the order of the dataset: its words and their log-probabilities."""
    said: list[tuple[str, ...]] = []
    log_probs: list[tuple[float, ...]] = []
    device = next(captioner.decoder.parameters()).device
    for batch in val_loader:
        with torch.inference_mode():
            features = captioner.features(batch.images.to(device))
        found = find_captions(captioner.decoder, captioner.vocabulary, features, search)
        for row in batch.order.argsort().tolist():
            best = found[row][0]
            said.append(tuple(captioner.vocabulary.decode(best.tokens)))
            log_probs.append(best.token_log_probs)
    return said, log_probs
