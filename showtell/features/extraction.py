"""Extract the features of a dataset, with an estimate of the cost and a progress bar: shared by commands."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.config import CacheConfig, View
from showtell.data.online_images import SKIP_PHOTOS_HINT
from showtell.data.records import CaptionedImage
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import DataError, ImageError, UsageError
from showtell.features.encoding import ExtractionReport, FeatureEncoder, ImageView
from showtell.features.store import FeatureStore
from showtell.features.table import FeatureTable
from showtell.runtime.exported import ExportedEncoder
from showtell.runtime.manifest import find_exported
from showtell.utils.files import reraise_os_error
from showtell.utils.progress import bars_hidden

log = logging.getLogger(__name__)


def feature_encoder(config: CacheConfig, encoder: CNNEncoder) -> FeatureEncoder:
    """The encoder that computes the features, or that of an exported model.

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
            f"--cache.exported {config.exported}: of other encoder weights, or another image size, than"
            " --encoder says"
        )
    return exported


def extract_features(
    store: FeatureStore, images: Sequence[CaptionedImage], train_views: Sequence[View], *, skip_bad: bool
) -> list[CaptionedImage]:
    """Cache the views of the training images and the whole images of all others.

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
    wanted = views_of(images, train_views)
    plan = store.plan(wanted)
    log.info("%s", plan)
    if not plan.missing:
        return list(images)
    with (
        _progress(plan.missing) as bar,
        _naming_skip_bad(),
        reraise_os_error(store.folder),
    ):
        report = store.extract(wanted, skip_bad=skip_bad, progress=bar.update)
    return _usable(images, report)


def compute_table(
    encoder: FeatureEncoder, images: Sequence[CaptionedImage], train_views: Sequence[View], *, skip_bad: bool
) -> tuple[FeatureTable, list[CaptionedImage]]:
    """Compute the views of the training images, and all other images whole, and keep them in memory.

    Args:
        encoder: makes the features; they stay on its device.
        images: the dataset.
        train_views: views of the training images.
        skip_bad: leave out images that cannot be decoded, and count them, instead of stopping.

    Returns:
        The features, and the images that have some.

    Raises:
        DataError: an image cannot be decoded; or none of the training or of the validation images can.
    """
    wanted = views_of(images, train_views)
    size = table_bytes(encoder, len(wanted))
    log.info("%s feature rows, %.1f GB, computed and kept in memory", f"{len(wanted):,}", size / 1e9)
    report = ExtractionReport()
    with (
        _progress(len(wanted)) as bar,
        _naming_skip_bad(),
    ):
        table = FeatureTable.compute(
            encoder, wanted, train_views, report, skip_bad=skip_bad, progress=bar.update
        )
    return table, _usable(images, report)


def _progress(rows: int) -> tqdm[Any]:
    return tqdm(total=rows, desc="features", unit="img", disable=bars_hidden())


@contextmanager
def _naming_skip_bad() -> Iterator[None]:
    """The error of an image that cannot be decoded names the option that leaves it out."""
    try:
        yield
    except ImageError as error:
        raise DataError(f"{error}; {SKIP_PHOTOS_HINT}") from error


def table_bytes(encoder: FeatureEncoder, rows: int) -> int:
    """Bytes of `rows` rows of features in memory, in 16 bits."""
    return rows * encoder.grid_cells * encoder.feature_dim * 2


def views_of(images: Sequence[CaptionedImage], train_views: Sequence[View]) -> list[ImageView]:
    """The views of the training images, and the whole of all others."""
    return [
        (image.path, view)
        for image in images
        for view in (train_views if image.split == "train" else ("full",))
    ]


def _usable(images: Sequence[CaptionedImage], report: ExtractionReport) -> list[CaptionedImage]:
    """Log what an extraction did; the images that could be decoded."""
    log.info(
        "%s rows in %.0f s: %.1f images/s",
        f"{report.extracted:,}",
        report.seconds,
        report.extracted / max(report.seconds, 1e-9),
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
                f"no {name} image can be decoded, the first: {failed[0]}; replace them, or add others"
            )
    return decoded
