"""The batches of an epoch, in an order that the seed and the epoch decide; processes share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (index, draw) in an order that depends on the seed and the epoch alone.

    So an epoch can be entered anywhere: after a kill, training continues with the next batch. Several
    processes share each batch: their parts together are the batch that one process would have.

    Args:
        size: number of items.
        batch_size: items a batch at most; batches are of the same size, or one less.
        seed: another seed, another order and other draws.
        rank: number of this process among those that train together.
        world_size: how many processes train together.
        weights: how often each item comes in an epoch; None for once. An item of weight 2.5 comes twice in
            each epoch, and a third time in every other one on average; all epochs are of the same length.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.first_batch = 0
        self._whole, self._parts = _whole_and_parts([1.0] * size if weights is None else weights)
        self.size = len(self._whole) + sum(count for _, count in self._parts)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """The batches of the present epoch, from `first_batch` on (which counts for one epoch only)."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        items = self._whole
        for group, count in self._parts:
            items = torch.cat([items, group[torch.randperm(len(group), generator=generator)[:count]]])
        order = items[torch.randperm(self.size, generator=generator)].tolist()
        draws = torch.randint(2**31, (self.size,), generator=generator).tolist()
        first, self.first_batch = self.first_batch, 0
        drawn = list(zip(order, draws, strict=True))
        for number in range(first, len(self)):
            begin, end = (self.size * index // len(self) for index in (number, number + 1))
            yield drawn[begin:end][self.rank :: self.world_size]


def _whole_and_parts(weights: Sequence[float]) -> tuple[Tensor, list[tuple[Tensor, int]]]:
    """The images of each epoch: those that always come, and samples of the others.

    Args:
        weights: how often each item comes in an epoch.

    Returns:
        Indices of items, as often as they come in each epoch; and for each remaining fraction of a weight the
        items that have it and how many of them are drawn, at least one.
    """
    often = torch.tensor(weights, dtype=torch.float64)
    whole = torch.arange(len(often)).repeat_interleave(often.long())
    rest = often.frac()
    parts = []
    for fraction in sorted(set(rest[rest > 0].tolist())):
        group = (rest == fraction).nonzero().squeeze(1)
        parts.append((group, max(1, round(fraction * len(group)))))
    return whole, parts
