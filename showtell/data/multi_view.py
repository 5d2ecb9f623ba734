"""Several views of each image in a batch, for losses that compare them."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from showtell.data.dataset import ImageTable, LoadImage
from showtell.data.records import CaptionedImage

_WHOLE: Final = 0.5
"""Share of the views that are the whole image; the others are random ones."""


def multi_view(load: LoadImage, count: int) -> LoadImage:
    """Have a source of images give `count` views of each: its tensors have a dimension (V,) more.

    Args:
        load: the source.
        count: V. Each view is the whole image or a view by a number that is drawn for it.
    """
    return _MultiViewRows(load, count) if isinstance(load, ImageTable) else _MultiView(load, count)


class _MultiView:
    """Views stacked as (V, ...)."""

    def __init__(self, load: LoadImage, count: int) -> None:
        self.load, self.count = load, count

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        """(V, ...) by `draw`; without it, the whole image V times."""
        random = np.random.default_rng(draw)
        whole = random.random(self.count) < (1 if draw is None else _WHOLE)
        draws = random.integers(2**31, size=self.count).tolist()
        return torch.stack(
            [self.load(image, None if whole[view] else draws[view]) for view in range(self.count)]
        )


class _MultiViewRows(_MultiView, ImageTable):
    """The same of a table: (V,) rows for each image, and (B, V, ...) tensors for these."""

    def __init__(self, table: ImageTable, count: int) -> None:
        super().__init__(table, count)
        self.table = table

    def gather(self, images: Tensor) -> Tensor:
        """The tensors (B, V, ...) of rows (B, V)."""
        return self.table.gather(images.flatten()).unflatten(0, images.shape)
