"""Captioned images as batches of tensors."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from showtell.data.epoch_sampler import EpochSampler
from showtell.data.records import CaptionedImage
from showtell.data.token_lists import TokenLists
from showtell.data.vocabulary import Vocabulary
from showtell.errors import ShowtellError
from showtell.utils.devices import to_device

LoadImage = Callable[[CaptionedImage, int | None], Tensor]
"""(image, draw) -> its tensor: pixels (3, H, W) or features (R, D). `draw` seeds a random view; None asks for
the whole image."""
Item = tuple[Tensor, list[Tensor]]


NumberedItem = tuple[Tensor, list[Tensor], int]

_SECONDS_AFTER_SIGTERM: Final = 30
"""A worker that loads batches ends so long after SIGTERM: longer than a step of training takes."""


class ImageTable(ABC):
    """A `LoadImage` whose tensors are in memory: it gives their rows, which loaders turn into tensors."""

    @abstractmethod
    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        """The row () of an image, of a view by `draw`."""

    @abstractmethod
    def gather(self, images: Tensor) -> Tensor:
        """The tensors (B, ...) of rows (B,), on the device where they are."""


class CaptionBatch(NamedTuple):
    """A batch of B images with N captions of at most T tokens.

    Only images and captions go to the device where the model computes (`to`): what the rest decides is
    prepared on the CPU, where asking for it does not wait for a GPU.

    Attributes:
        images: (B, 3, H, W) pixels or (B, R, D) features, those with the longest captions first.
        captions: (N, T) token ids with start and end, longest first, padded.
        lengths: (N,) tokens of each caption, with start and end.
        image_index: (N,) the image (row of `images`) of each caption.
        order: (B,) the index that each image had in the list that was collated.
        number: (B,) the number of each image in its dataset.
        caption_index: (N,) the index of each caption among those of its image.
    """

    images: Tensor
    captions: Tensor
    lengths: Tensor
    image_index: Tensor
    order: Tensor
    number: Tensor
    caption_index: Tensor

    def to(self, device: torch.device, **_: Any) -> CaptionBatch:
        """Images and captions on `device`, the rest as it is; to a GPU they are copied without waiting."""
        images, captions = (to_device(tensor, device) for tensor in (self.images, self.captions))
        return self._replace(images=images, captions=captions)


class CaptionDataset(Dataset[Item]):
    """Images with all of their captions: item i is (image, [caption, ...]).

    An item may be asked for as (i, draw): then `load_image` gets the number and may take a random view by it;
    the whole image if it is None.

    Args:
        images: the records.
        vocabulary: makes words token ids.
        load_image: gives the tensor of a record.
        max_length: longer captions are cut to this many words; None for no limit.
        model_captions: weight in the loss of captions that a model wrote.

    Attributes:
        caption_weights: (images, captions) the weight in the loss of each caption; None if all weigh 1.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        vocabulary: Vocabulary,
        load_image: LoadImage,
        max_length: int | None = None,
        *,
        model_captions: float = 1.0,
    ) -> None:
        self.images, self.load_image = images, load_image
        self.vocabulary, self.max_length, self.model_captions = vocabulary, max_length, model_captions
        self.caption_weights = _caption_weights(images, model_captions)
        self.captions = TokenLists(
            [vocabulary.encode(caption, max_length) for caption in image.captions] for image in images
        )

    def subset(self, numbers: Sequence[int]) -> CaptionDataset:
        """The dataset of some of the images, in the order of `numbers`."""
        images = [self.images[number] for number in numbers]
        return CaptionDataset(
            images, self.vocabulary, self.load_image, self.max_length, model_captions=self.model_captions
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, key: int | tuple[int, int | None]) -> Item:
        """(image, [caption (T_i,), ...])."""
        index, draw = key if isinstance(key, tuple) else (key, None)
        return self.load_image(self.images[index], draw), self.captions[index]


def _caption_weights(images: Sequence[CaptionedImage], model_captions: float) -> Tensor | None:
    if model_captions == 1 or not any(image.authors for image in images):
        return None
    weights = torch.ones(len(images), max(len(image.captions) for image in images))
    for row, image in zip(weights, images, strict=True):
        for position, author in enumerate(image.authors):
            if author == "model":
                row[position] = model_captions
    return weights


def collate_fn(
    items: Sequence[tuple[Tensor, Tensor | Sequence[Tensor]] | NumberedItem], pad_id: int = 0
) -> CaptionBatch:
    """Make a batch: sort captions by length, longest first; stack images; pad captions.

    Args:
        items: (image, captions), or (image, captions, number in the dataset); captions are one tensor
            (T_i,) or several. Without a number, an image's index in the list is its number.
        pad_id: what captions are padded with.

    Returns:
        The batch. With one caption per image, row i of captions belongs to row i of images.
    """
    several = [[item[1]] if isinstance(item[1], Tensor) else item[1] for item in items]
    captions = [caption for of_image in several for caption in of_image]
    return _collate(
        _Items(
            [item[0] for item in items],
            torch.cat(captions).numpy(),
            np.array([len(caption) for caption in captions]),
            np.array([len(of_image) for of_image in several]),
            [item[2] if len(item) == 3 else position for position, item in enumerate(items)],
        ),
        pad_id,
    )


class _Items(NamedTuple):
    """B images with N captions, to be collated.

    Attributes:
        images: B tensors.
        tokens: token ids of all captions, end to end.
        lengths: (N,) tokens of each caption.
        counts: (B,) captions of each image.
        numbers: (B,) the number of each image in its dataset.
    """

    images: list[Tensor]
    tokens: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    numbers: list[int]


def _collate(items: Any, pad_id: int = 0) -> CaptionBatch:
    """See `collate_fn`; `items` are those of `_Batches`."""
    assert isinstance(items, _Items)
    length, first = items.lengths, np.cumsum(items.counts) - items.counts
    item = np.repeat(np.arange(len(items.images)), items.counts)  # (N,)
    position = np.arange(len(length)) - np.repeat(first, items.counts)  # (N,)
    order = np.argsort(-np.maximum.reduceat(length, first), kind="stable")  # (B,)
    row = np.argsort(order)[item]  # (N,), the row of each caption's image
    by_length = np.lexsort((position, row, -length))
    return CaptionBatch(
        torch.stack([items.images[i] for i in order.tolist()]),
        torch.from_numpy(_padded(items.tokens, length, by_length, pad_id)),
        torch.from_numpy(length[by_length]),
        torch.from_numpy(row[by_length]),
        torch.from_numpy(order),
        torch.tensor(items.numbers)[order],
        torch.from_numpy(position[by_length]),
    )


def _padded(
    tokens: npt.NDArray[np.int64], length: npt.NDArray[np.int64], order: npt.NDArray[np.int64], pad_id: int
) -> npt.NDArray[np.int64]:
    """Captions (N, T) in `order` (N,), longest first, of `length` (N,), which lie end to end in `tokens`."""
    begin = (np.cumsum(length) - length)[order, None]
    steps = np.arange(length[order[0]])
    inside = steps < length[order, None]
    padded = np.full(inside.shape, pad_id, np.int64)
    padded[inside] = tokens[(begin + steps)[inside]]
    return padded


class _Batches(Dataset[NumberedItem]):
    """A dataset's items (number, draw), several at once."""

    def __init__(self, dataset: CaptionDataset) -> None:
        self.dataset = dataset

    def __getitems__(self, keys: list[tuple[int, int | None]]) -> _Items | ShowtellError:
        """The items, or what is wrong with one: raised in a worker, its message would be a traceback."""
        dataset, numbers = self.dataset, [number for number, _ in keys]
        try:
            images = [dataset.load_image(dataset.images[number], draw) for number, draw in keys]
        except ShowtellError as error:
            return error
        return _Items(images, *dataset.captions.gather(numbers), numbers)


class CaptionLoader(DataLoader[Any]):
    """Batches for training, which can be continued in the middle of an epoch."""

    def __init__(
        self,
        dataset: CaptionDataset,
        *,
        batch_size: int,
        seed: int,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        weights = [image.weight for image in dataset.images]
        self.epochs = EpochSampler(len(dataset), batch_size, seed, rank, world_size, weights)
        self.captions = dataset
        super().__init__(
            _Batches(dataset),
            batch_sampler=self.epochs,
            collate_fn=_collate_unless_failed,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=_leave_signals_to_training,
        )

    def __iter__(self) -> Iterator[CaptionBatch]:  # type: ignore[override]
        """The batches that remain of the present epoch.

        Raises:
            ShowtellError: an image cannot be loaded.
        """
        for batch in super().__iter__():
            yield with_images(batch, self.captions)

    def start(self, epoch: int, batch: int = 0) -> None:
        """Have the next iteration give the batches of an epoch from number `batch` on."""
        self.epochs.epoch, self.epochs.first_batch = epoch, batch


class EvalLoader(DataLoader[Any]):
    """Every image of a dataset once, whole, in order.

    Args:
        dataset: the dataset.
        batch_size: images per batch.
        num_workers: processes that load batches.
        rank: number of this process; it gets the images `rank`, `rank + world_size`, ...
        world_size: how many processes evaluate together.
    """

    def __init__(
        self,
        dataset: CaptionDataset,
        *,
        batch_size: int,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.captions = dataset
        super().__init__(
            _Batches(dataset),
            batch_size=batch_size,
            sampler=[(number, None) for number in range(rank, len(dataset), world_size)],
            collate_fn=_collate_unless_failed,
            num_workers=num_workers,
            worker_init_fn=_leave_signals_to_training,
        )

    def __iter__(self) -> Iterator[CaptionBatch]:  # type: ignore[override]
        """The batches.

        Raises:
            ShowtellError: an image cannot be loaded.
        """
        for batch in super().__iter__():
            yield with_images(batch, self.captions)


def _collate_unless_failed(items: Any) -> CaptionBatch | ShowtellError:
    """A batch of the items of `_Batches`, or what is wrong with one of them."""
    return items if isinstance(items, ShowtellError) else _collate(items)


def _leave_signals_to_training(_: int) -> None:
    """Have a worker outlive Ctrl-C and SIGTERM, which a terminal or SLURM sends to all processes.

    The training process stops after its step, and needs batches until then. Half a minute after SIGTERM the
    worker ends all the same: so Python ends the workers of a program that fails.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_AFTER_SIGTERM))


def with_images(batch: CaptionBatch | ShowtellError, dataset: CaptionDataset) -> CaptionBatch:
    """A batch with the tensors of its images, if its dataset gives rows of a table.

    Raises:
        ShowtellError: instead of a batch, a worker has sent it.
    """
    if isinstance(batch, ShowtellError):
        raise batch
    table = dataset.load_image
    return batch._replace(images=table.gather(batch.images)) if isinstance(table, ImageTable) else batch
