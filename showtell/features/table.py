"""Features of a dataset in the memory of the device that trains: computed once, never written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

import torch
from torch import Tensor

from showtell.config import View
from showtell.data.dataset import ImageTable
from showtell.data.records import CaptionedImage
from showtell.features.encoding import (
    ExtractionReport,
    FeatureEncoder,
    ImageView,
    encode_views,
    require_finite,
)
from showtell.utils.devices import to_device


class FeatureTable(ImageTable):
    """Features of (path, view) pairs in one tensor, for `CaptionDataset`.

    A batch holds the rows of its images; their features are gathered on the device, and nothing is read from
    the disk or copied to a GPU in training.

    Args:
        rows: the row of each view.
        features: (rows, R, D).
        views: one of them is taken by `draw`; without it, the whole image.
    """

    def __init__(self, rows: dict[ImageView, int], features: Tensor, views: Sequence[View]) -> None:
        self.rows, self.features, self.views = rows, features, tuple(views)

    @classmethod
    def compute(
        cls,
        encoder: FeatureEncoder,
        wanted: Sequence[ImageView],
        views: Sequence[View],
        report: ExtractionReport,
        *,
        skip_bad: bool,
        progress: Callable[[int], object] | None = None,
    ) -> FeatureTable:
        """Encode `wanted`, each once; the features stay where the encoder computes, in 16 bits.

        Args:
            encoder: makes the features.
            wanted: (path, view) pairs.
            views: see the class.
            report: gets what was done.
            skip_bad: leave out images that cannot be decoded.
            progress: called with the number of views just done.

        Raises:
            ImageError: an image cannot be decoded, and `skip_bad` is not set.
            FeatureStoreError: the features of an image are not finite.
        """
        wanted = list(dict.fromkeys(wanted))
        rows: dict[ImageView, int] = {}
        table: Tensor | None = None
        finite: list[Tensor] = []
        start = time.monotonic()
        encoded = encode_views(encoder, wanted, report, skip_bad=skip_bad, progress=progress)
        with closing(encoded):
            for items, features in encoded:
                part = torch.as_tensor(features)
                part = part.half() if part.dtype == torch.float32 else part
                if table is None:
                    table = part.new_empty(len(wanted), *part.shape[1:])
                table[len(rows) : len(rows) + len(items)] = part
                finite.append(torch.isfinite(part).flatten(1).all(dim=1))
                rows.update(zip(items, range(len(rows), len(rows) + len(items)), strict=True))
        report.seconds = time.monotonic() - start
        if finite:  # looked at once, at the end: a GPU is not waited for before
            require_finite(torch.cat(finite).tolist(), list(rows))
        if table is None:
            table = torch.empty(0, encoder.grid_cells, encoder.feature_dim)
        return cls(rows, table, views)

    def __getstate__(self) -> dict[str, object]:
        """Go to a process that loads batches: without the features."""
        return {**vars(self), "features": None}

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        """The row () of a view."""
        view = "full" if draw is None else self.views[draw % len(self.views)]
        return torch.tensor(self.rows[image.path, view])

    def gather(self, images: Tensor) -> Tensor:
        """Features (B, R, D) of rows (B,), on the device of the table."""
        return self.features.index_select(0, to_device(images, self.features.device))
