"""Extract the features of a dataset, with its cost told before and a progress bar: shared by commands."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tqdm import tqdm

from showtell.config import CacheConfig, View
from showtell.data.records import CaptionedImage
from showtell.data.sources import SKIP_PHOTOS_HINT
from showtell.encoder import CNNEncoder
from showtell.errors import DataError, ImageError, UsageError
from showtell.features import FeatureEncoder, FeatureStore
from showtell.fingerprints import weights_fingerprint
from showtell.runtime.captioner import ExportedEncoder
from showtell.runtime.manifest import find_exported

log = logging.getLogger(__name__)


def feature_encoder(config: CacheConfig, encoder: CNNEncoder) -> FeatureEncoder:
    """What makes the features: the encoder, or in its place that of an exported model.

    Raises:
        CheckpointError: the exported model is damaged.
        UsageError: it is none, or of another encoder.
    """
    if config.exported is None:
        return encoder
    folder = find_exported(config.exported)
    if folder is None:
        raise UsageError(
            f"--cache.exported {config.exported}: no exported model there; make one with showtell export"
        )
    exported = ExportedEncoder.load(folder)
    same_weights = exported.weights == weights_fingerprint(encoder.state_dict())
    same_grid = exported.transform == encoder.transform and exported.grid_cells == encoder.grid_cells
    if not (same_weights and same_grid):
        raise UsageError(
            f"--cache.exported {config.exported}: of other encoder weights, or another picture size, than"
            " --encoder says"
        )
    return exported


def extract_features(
    store: FeatureStore, images: Sequence[CaptionedImage], train_views: Sequence[View], *, skip_bad: bool
) -> list[CaptionedImage]:
    """Cache the views of the training images and the whole pictures of all others.

    Args:
        store: where they go.
        images: the dataset.
        train_views: views of the training images.
        skip_bad: leave out images that cannot be decoded, and count them, instead of stopping.

    Returns:
        The images whose features are cached.

    Raises:
        DataError: an image cannot be decoded; or none of the training or of the validation images can.
    """
    wanted = [
        (image.path, view)
        for image in images
        for view in (train_views if image.split == "train" else ("full",))
    ]
    plan = store.plan(wanted)
    log.info("%s", plan)
    if not plan.missing:
        return list(images)
    with tqdm(total=plan.missing, desc="features", unit="img", disable=None) as bar:
        try:
            report = store.extract(wanted, skip_bad=skip_bad, progress=bar.update)
        except ImageError as error:
            raise DataError(f"{error}; {SKIP_PHOTOS_HINT}") from error
    log.info(
        "%s rows in %.0f s: %.1f images/s",
        f"{report.extracted:,}",
        report.seconds,
        report.extracted / report.seconds,
    )
    return without_failed(images, report.failed)


def without_failed(images: Sequence[CaptionedImage], failed: Sequence[ImageError]) -> list[CaptionedImage]:
    """The images that could be decoded; how many could not is logged.

    Raises:
        DataError: of the training images, or of those to validate on, none is left.
    """
    if failed:
        log.warning("dropped %d: photo that cannot be decoded, the first: %s", len(failed), failed[0])
    sources = {error.source for error in failed}
    decoded = [image for image in images if str(image.path) not in sources]
    for split, name in (("train", "training"), ("val", "validation")):
        if any(image.split == split for image in images) and not any(i.split == split for i in decoded):
            raise DataError(
                f"no {name} image can be decoded, the first: {failed[0]}; mend them, or add others"
            )
    return decoded
