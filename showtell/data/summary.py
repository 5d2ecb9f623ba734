"""The size of a dataset in the log, and warnings if it is small."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final, get_args

from showtell.config import RunConfig
from showtell.data.prepare import PreparedData
from showtell.data.records import Split
from showtell.utils.shipped import DEFAULT_MODEL

log = logging.getLogger(__name__)

MIN_IMAGES_FROM_SCRATCH: Final = 1_000
MIN_IMAGES_FINETUNING: Final = 50
"""Below so many training photos there is a warning, from scratch and from a model."""
TINY_VOCABULARY: Final = 100
"""Below so many words there is a warning."""


def log_summary(data: PreparedData) -> None:
    """Log the size of a dataset and what was dropped of it."""
    log.info(
        "%s: %s train, %s val, %s test images; a vocabulary of %s words",
        data.name,
        *(f"{len(part):,}" for part in (data.train, data.val, data.test)),
        f"{len(data.vocabulary):,}",
    )
    datasets = list(dict.fromkeys(image.dataset for image in data.images))
    for dataset in datasets if len(datasets) > 1 else ():
        splits = Counter(image.split for image in data.images if image.dataset == dataset)
        counts = (f"{splits[split]:,}" for split in get_args(Split))
        log.info("  %s: %s train, %s val, %s test images", dataset, *counts)
    for reason, count in data.skipped.items():
        log.warning("dropped %d: %s", count, reason)


def warn_of_few_images(data: PreparedData, config: RunConfig) -> None:
    """Warn if images are few or the vocabulary is tiny. Synthetic scenes need few of both.

    Args:
        data: of the run.
        config: its settings, `init` settled.
    """
    if config.data.root is None or config.data.format == "scenes":
        return
    photos, words, fresh = len(data.train), len(data.vocabulary.words), config.init == "none"
    if fresh and photos < MIN_IMAGES_FROM_SCRATCH:
        log.warning(
            "only %s training photos: expect captions that do not match the photo; start from a pretrained"
            " model of the captions' language (--init %s: English), or add photos",
            f"{photos:,}",
            DEFAULT_MODEL,
        )
    elif photos < MIN_IMAGES_FINETUNING:
        log.warning(
            "only %s training photos: expect captions like those of %s with a few of your words; add photos",
            f"{photos:,}",
            config.init,
        )
    if fresh and words < TINY_VOCABULARY:
        log.warning(
            "the vocabulary has only %s words, and the model can generate no others: add captions, lower"
            " data.min_count (%d here), or start from a pretrained model of the captions' language"
            " (--init %s: English)",
            f"{words:,}",
            data.min_count,
            DEFAULT_MODEL,
        )
