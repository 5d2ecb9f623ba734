"""Images through the encoder, batch by batch: shared by the feature cache and the table in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from showtell.config import View
from showtell.data.decode_ahead import batched, decode_ahead
from showtell.data.processes import decode_in_processes, should_use_processes
from showtell.data.transforms import ImageTransform
from showtell.errors import FeatureStoreError, ImageError

BATCHES_PER_CHUNK: Final = 4
"""Encoder batches whose images are handed over together; those of one shape share a batch."""

ImageView = tuple[Path, View]
Pixels = npt.NDArray[np.uint8]
Features = torch.Tensor | npt.NDArray[np.float32]


class FeatureEncoder(Protocol):
    """The interface of encoders: `CNNEncoder`, or that of an exported model."""

    @property
    def transform(self) -> ImageTransform:
        """Makes the images that it takes."""

    @property
    def grid_cells(self) -> int:
        """Number of grid cells, R."""

    @property
    def feature_dim(self) -> int:
        """Feature dimension, D."""

    @property
    def batch_size(self) -> int:
        """Images of one shape that are encoded together."""

    @property
    def device_type(self) -> str:
        """The device: `cpu`, `cuda`, ..."""

    @property
    def producer(self) -> str:
        """Runtime and number format, for people."""

    def fingerprint(self) -> str:
        """Names all that decides the features."""

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Features:
        """Features (N, R, D) of N images (H, W, 3)."""


@dataclass
class ExtractionReport:
    """The result of an extraction.

    Attributes:
        extracted: rows that were added.
        seconds: time it took.
        failed: images that cannot be decoded, each once.
    """

    extracted: int = 0
    seconds: float = 0.0
    failed: list[ImageError] = field(default_factory=list)


def encode_views(
    encoder: FeatureEncoder,
    wanted: Sequence[ImageView],
    report: ExtractionReport,
    *,
    skip_bad: bool,
    progress: Callable[[int], object] | None = None,
) -> Generator[tuple[list[ImageView], Features], None, None]:
    """Encode views of image files; decoding runs beside the encoder, and each file is decoded once.

    Args:
        encoder: makes the features.
        wanted: (path, view) pairs; views of one path are decoded together if they follow each other.
        report: gets the number of rows, and the images that cannot be decoded.
        skip_bad: go on after an image that cannot be decoded.
        progress: called with the number of views just done.

    Yields:
        Views that were encoded together, and their features (N, R, D).

    Raises:
        ImageError: an image cannot be decoded, and `skip_bad` is not set.
    """
    size = BATCHES_PER_CHUNK * encoder.batch_size
    with closing(_decoded_views(encoder, wanted, size)) as decoded:
        for batch in batched(decoded, size):
            good = [(view, pixels) for view, pixels in batch if not isinstance(pixels, ImageError)]
            for (path, _), error in batch:
                if isinstance(error, ImageError):
                    if not skip_bad:
                        raise error
                    if all(failed.source != str(path) for failed in report.failed):
                        report.failed.append(error)
            if good:
                report.extracted += len(good)
                yield [view for view, _ in good], encoder.encode_pixels([pixels for _, pixels in good])
            if progress is not None:
                progress(len(batch))


def require_finite(finite: Iterable[bool], items: Sequence[ImageView]) -> None:
    """Stop if features are not finite, before training fails because of them.

    Args:
        finite: whether the features of each view are.
        items: the views.

    Raises:
        FeatureStoreError: those of a view are not.
    """
    for (path, view), good in zip(items, finite, strict=True):
        if not good:
            raise FeatureStoreError(
                f"{path}: its features ({view}) are not finite numbers: the encoder's weights are damaged, or"
                " its number format overflows; try --encoder.precision fp32"
            )


def _decoded_views(
    encoder: FeatureEncoder, wanted: Sequence[ImageView], ahead: int
) -> Generator[tuple[ImageView, Pixels | ImageError], None, None]:
    """Each view with its pixels (H, W, 3), or why there are none."""
    files = ((path, [view for _, view in views]) for path, views in groupby(wanted, itemgetter(0)))
    transform = encoder.transform

    def decode(file: tuple[Path, list[View]]) -> list[Pixels]:
        return transform.views(*file)

    each = -(-len(wanted) // max(1, len({path for path, _ in wanted})))  # views of a file
    if encoder.device_type == "cuda" and should_use_processes(len(wanted), transform.size, each):
        stream = decode_in_processes(files, decode, size=transform.size, views=each)
    else:
        stream = decode_ahead(files, decode, ahead=ahead)
    with closing(stream) as decoded:
        for item in decoded:
            path, views = item.source
            for index, view in enumerate(views):
                pixels = item.error if item.pixels is None else item.pixels[index]
                assert pixels is not None
                yield (path, view), pixels
