"""Token ids of many captions in few arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from showtell.data.ranges import concatenate_ranges


class TokenLists(Sequence[list[Tensor]]):
    """The captions of many images as token ids: item i is [caption (T_j,), ...], views of one flat tensor.

    COCO has 591,753 training captions. A tensor for each would take five times the memory of its words, and
    every process that loads batches would get a copy as soon as it looked at it.

    Args:
        images: for each image the token ids of its captions.
    """

    def __init__(self, images: Iterable[Iterable[Sequence[int]]]) -> None:
        tokens, lengths, first = array("q"), array("q"), array("q", [0])
        for captions in images:
            for caption in captions:
                tokens.extend(caption)
                lengths.append(len(caption))
            first.append(len(lengths))
        self._tokens = torch.from_numpy(np.array(tokens))  # (words of all captions,)
        self._lengths = np.array(lengths)  # (captions,)
        self._first_caption = np.array(first)  # (images + 1,)
        ends = np.concatenate([[0], np.cumsum(self._lengths)])
        self._first_token = ends[self._first_caption]  # (images + 1,)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._first_caption) - 1

    @overload
    def __getitem__(self, image: int) -> list[Tensor]: ...

    @overload
    def __getitem__(self, image: slice) -> list[list[Tensor]]: ...

    def __getitem__(self, image: int | slice) -> list[Tensor] | list[list[Tensor]]:
        """The captions of an image, or of several.

        Raises:
            IndexError: there is no such image.
        """
        if isinstance(image, slice):
            return [self[i] for i in range(*image.indices(len(self)))]
        position = range(len(self))[image]
        captions = slice(*self._first_caption[position : position + 2].tolist())
        tokens = slice(*self._first_token[position : position + 2].tolist())
        return list(self._tokens[tokens].split(self._lengths[captions].tolist()))

    def gather(
        self, images: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The captions of several images.

        Returns:
            Their token ids end to end, the length (N,) of each caption, and how many captions (B,) each image
            has.
        """
        chosen = np.asarray(images, np.int64)
        first, after = self._first_caption[chosen], self._first_caption[chosen + 1]
        tokens = self._tokens.numpy()[
            concatenate_ranges(self._first_token[chosen], self._first_token[chosen + 1])
        ]
        return tokens, self._lengths[concatenate_ranges(first, after)], after - first
