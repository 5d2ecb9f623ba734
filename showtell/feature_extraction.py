"""Extract the features of a dataset, with its cost told before and a progress bar: shared by commands."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tqdm import tqdm

from showtell.config import CacheConfig, View
from showtell.data.records import CaptionedImage
from showtell.encoder import CNNEncoder
from showtell.errors import UsageError
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
        skip_bad: leave out images that cannot be shown, and count them, instead of stopping.

    Returns:
        The images whose features are cached.
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
        report = store.extract(wanted, skip_bad=skip_bad, progress=bar.update)
    log.info(
        "%s rows in %.0f s: %.1f images/s",
        f"{report.extracted:,}",
        report.seconds,
        report.extracted / report.seconds,
    )
    if report.failed:
        log.warning(
            "%d images cannot be shown and are left out, the first: %s", len(report.failed), report.failed[0]
        )
    failed = {error.source for error in report.failed}
    return [image for image in images if str(image.path) not in failed]
