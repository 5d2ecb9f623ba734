"""Batches: sorted, padded, in an order that the seed decides."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from showtell.data.dataset import CaptionDataset, CaptionLoader, EpochSampler, collate_fn, eval_loader
from showtell.data.records import CaptionedImage
from showtell.data.sources import OnlineImages
from showtell.data.tensors import preprocess_image
from showtell.data.vocabulary import build_vocab
from showtell.encoder import CNNEncoder

captions_of_images = st.lists(
    st.lists(st.lists(st.integers(4, 50), min_size=1, max_size=9), min_size=1, max_size=4),
    min_size=1,
    max_size=6,
)


@given(captions_of_images)
def test_collate(images: list[list[list[int]]]) -> None:
    items = [
        (torch.full((2,), float(i)), [torch.tensor(c) for c in several]) for i, several in enumerate(images)
    ]
    batch = collate_fn(items)
    lengths = batch.lengths.tolist()
    assert lengths == sorted(lengths, reverse=True)
    longest = [max(len(c) for c in images[i]) for i in batch.order.tolist()]
    assert longest == sorted(longest, reverse=True)
    assert batch.images[:, 0].tolist() == batch.order.tolist() == batch.number.tolist()
    back = [
        (batch.order[row].item(), caption[:length].tolist())
        for row, caption, length in zip(batch.image_index.tolist(), batch.captions, lengths, strict=True)
    ]
    assert sorted(back) == sorted((i, c) for i, several in enumerate(images) for c in several)
    for caption, length in zip(batch.captions, lengths, strict=True):
        assert (caption[length:] == 0).all()


def test_collate_takes_plain_pairs_as_the_tutorials_do() -> None:
    pairs = [(torch.tensor([float(i)]), torch.arange(4, 4 + n)) for i, n in enumerate([2, 5, 3])]
    images, captions, lengths, image_index, *_ = collate_fn(pairs)
    assert images.flatten().tolist() == [1, 2, 0]
    assert lengths.tolist() == [5, 3, 2]
    assert image_index.tolist() == [0, 1, 2]
    assert captions.shape == (3, 5)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_can_be_entered_anywhere(size: int, batch_size: int, seed: int, epoch: int) -> None:
    sampler = EpochSampler(size, batch_size, seed)
    sampler.epoch = epoch
    whole = list(sampler)
    assert len(whole) == len(sampler)
    assert sorted(index for batch in whole for index, _ in batch) == list(range(size))
    for first in range(len(whole)):
        sampler.first_batch = first
        assert list(sampler) == whole[first:]
    assert list(sampler) == whole


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4))
def test_processes_share_each_batch(size: int, batch_size: int, processes: int) -> None:
    whole = list(EpochSampler(size, batch_size, 0))
    assert max(map(len, whole)) <= batch_size
    assert max(map(len, whole)) - min(map(len, whole)) <= 1
    parts = [list(EpochSampler(size, batch_size, 0, (rank, processes))) for rank in range(processes)]
    for number, batch in enumerate(whole):
        theirs = [item for part in parts for item in part[number]]
        assert sorted(theirs) == sorted(batch)
        assert len(parts[0][number]) - len(parts[-1][number]) <= 1


def test_epochs_differ() -> None:
    sampler = EpochSampler(50, 10, 0)
    first = list(sampler)
    sampler.epoch = 1
    assert list(sampler) != first


class Numbers:
    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        return torch.tensor([float(image.image_id), -1.0 if draw is None else float(draw)])


IMAGES = [
    CaptionedImage(Path(f"{i}.jpg"), ("a dog", "a big dog runs")[: 1 + i % 2], "train", str(i))
    for i in range(7)
]
VOCABULARY = build_vocab([c for image in IMAGES for c in image.captions], 1)


def test_dataset_and_loaders() -> None:
    dataset = CaptionDataset(IMAGES, VOCABULARY, Numbers(), max_length=2)
    image, captions = dataset[1]
    assert image.tolist() == [1, -1]
    assert [VOCABULARY.decode(c.tolist()) for c in captions] == [["a", "dog"], ["a", "big"]]
    assert dataset[(1, 9)][0].tolist() == [1, 9]
    batches = list(eval_loader(dataset, batch_size=3))
    ids = [b.images[b.order.argsort(), 0].tolist() for b in batches]
    assert ids == [[0, 1, 2], [3, 4, 5], [6]]
    loader = CaptionLoader(dataset, batch_size=3, seed=1)
    seen = []
    for batch in loader:
        seen += batch.images[:, 0].tolist()
        assert (batch.images[:, 1] >= 0).all()
        assert batch.images[:, 0].tolist() == batch.number.tolist()
    assert sorted(seen) == list(range(7))
    assert loader.state_dict() == {"epoch": 0, "taken": 3}


def test_workers_load_the_same_batches() -> None:
    dataset = CaptionDataset(IMAGES, VOCABULARY, Numbers())
    one, two = (
        [batch.images.tolist() for batch in CaptionLoader(dataset, batch_size=2, seed=3, num_workers=n)]
        for n in (0, 1)
    )
    assert one == two


def test_online_images(tiny_encoder: CNNEncoder, photos: list[Path]) -> None:
    load = OnlineImages(tiny_encoder.transform)
    record = CaptionedImage(photos[0], ("a woman",), "train", "0")
    transform = tiny_encoder.transform
    whole = preprocess_image(photos[0], size=transform.size, mean=transform.mean, std=transform.std)
    assert torch.equal(load(record, None), whole)
    assert torch.equal(load(record, 5), load(record, 5))
    assert not torch.equal(load(record, 5), load(record, 6))
