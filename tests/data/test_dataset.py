"""Batches: sorted, padded, in an order that the seed decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from showtell.data.dataset import CaptionDataset, CaptionLoader, EvalLoader, collate_fn
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.errors import ImageError

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
    batches = list(EvalLoader(dataset, batch_size=3))
    ids = [b.images[b.order.argsort(), 0].tolist() for b in batches]
    assert ids == [[0, 1, 2], [3, 4, 5], [6]]
    loader = CaptionLoader(dataset, batch_size=3, seed=1)
    seen = []
    for batch in loader:
        seen += batch.images[:, 0].tolist()
        assert (batch.images[:, 1] >= 0).all()
        assert batch.images[:, 0].tolist() == batch.number.tolist()
    assert sorted(seen) == list(range(7))
    loader.start(0, 2)
    assert [batch.number.tolist() for batch in loader] == [seen[-len(batch.number) :]], "the last batch again"
    assert len(list(loader)) == 3, "the next iteration is whole"


def test_weights_are_those_of_the_images() -> None:
    images = [replace(image, weight=2.0 if int(image.image_id) < 3 else 0.5) for image in IMAGES]
    loader = CaptionLoader(CaptionDataset(images, VOCABULARY, Numbers()), batch_size=3, seed=0)
    counts = Counter(number for batch in loader for number in batch.number.tolist())
    assert [counts[i] for i in range(3)] == [2, 2, 2]
    assert sum(counts[i] for i in range(3, 7)) == 2
    assert max(counts[i] for i in range(3, 7)) == 1


WRITTEN = [
    replace(IMAGES[0], captions=("a dog", "a dog runs", "a big dog"), authors=("model", "person", "model")),
    replace(IMAGES[1], captions=("a dog",)),
    replace(IMAGES[2], captions=("a dog", "runs"), authors=("person", "model")),
]


def test_weights_of_captions() -> None:
    dataset = CaptionDataset(WRITTEN, VOCABULARY, Numbers(), model_captions=0.25)
    assert dataset.caption_weights is not None
    for row, image in zip(dataset.caption_weights.tolist(), WRITTEN, strict=True):
        authors = image.authors or ("person",) * len(image.captions)
        assert row[: len(authors)] == [0.25 if author == "model" else 1.0 for author in authors]
    part = dataset.subset([2, 0])
    assert part.images == [WRITTEN[2], WRITTEN[0]]
    assert part.caption_weights is not None
    assert part.caption_weights.tolist() == dataset.caption_weights[[2, 0]].tolist()
    assert [c.tolist() for c in part[1][1]] == [c.tolist() for c in dataset[0][1]]
    assert CaptionDataset(WRITTEN, VOCABULARY, Numbers()).caption_weights is None
    assert CaptionDataset(IMAGES, VOCABULARY, Numbers(), model_captions=0.5).caption_weights is None
    assert dataset.subset([1]).caption_weights is None, "people alone"


def test_a_batch_tells_which_caption_of_its_image_each_is() -> None:
    dataset = CaptionDataset(WRITTEN, VOCABULARY, Numbers(), model_captions=0.25)
    (batch,) = CaptionLoader(dataset, batch_size=3, seed=2)
    for row, length in enumerate(batch.lengths.tolist()):
        number = int(batch.number[batch.image_index[row]])
        text = WRITTEN[number].captions[int(batch.caption_index[row])]
        assert VOCABULARY.decode(batch.captions[row, :length].tolist()) == text.split()


def test_workers_load_the_same_batches() -> None:
    dataset = CaptionDataset(IMAGES, VOCABULARY, Numbers())
    one, two = (
        [batch.images.tolist() for batch in CaptionLoader(dataset, batch_size=2, seed=3, num_workers=n)]
        for n in (0, 1)
    )
    assert one == two


class Broken(Numbers):
    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        raise ImageError(str(image.path), "it is cut off")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_loaded_is_named_also_by_a_worker(workers: int) -> None:
    dataset = CaptionDataset(IMAGES, VOCABULARY, Broken())
    loaders = (
        CaptionLoader(dataset, batch_size=2, seed=3, num_workers=workers),
        EvalLoader(dataset, batch_size=2, num_workers=workers),
    )
    for loader in loaders:
        with pytest.raises(ImageError, match=r"^\S+: it is cut off$"):
            next(iter(loader))
