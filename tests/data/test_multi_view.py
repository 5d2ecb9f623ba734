"""Several views of each image: of a source that computes them, and of a table in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from showtell.data.dataset import CaptionDataset, CaptionLoader, ImageTable
from showtell.data.multi_view import multi_view
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab

IMAGES = [CaptionedImage(Path(f"{n}.jpg"), (f"image {n}",), "train", str(n)) for n in range(40)]
VOCABULARY = build_vocab([image.captions[0] for image in IMAGES], 1)


def load(image: CaptionedImage, draw: int | None) -> Tensor:
    """The number of the image, and that of its view: -1 for the whole image."""
    return torch.tensor([int(image.image_id), -1 if draw is None else draw % 5])


class Table(ImageTable):
    """The same numbers as rows of a table."""

    rows = torch.tensor([[image, view] for image in range(40) for view in (-1, 0, 1, 2, 3, 4)])

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        return torch.tensor(6 * int(image.image_id) + (0 if draw is None else 1 + draw % 5))

    def gather(self, images: Tensor) -> Tensor:
        return self.rows[images]


def test_views_are_drawn_and_half_of_them_are_whole_images() -> None:
    source = multi_view(load, 4)
    views = torch.stack([source(IMAGES[7], draw) for draw in range(500)])  # (500, 4, 2)
    assert (views[:, :, 0] == 7).all()
    whole = (views[:, :, 1] == -1).float()
    assert ((whole.mean(dim=0) > 0.4) & (whole.mean(dim=0) < 0.6)).all()
    assert set(views[:, :, 1].flatten().tolist()) == {-1, 0, 1, 2, 3, 4}
    assert torch.equal(source(IMAGES[7], 3), views[3])
    assert (source(IMAGES[7], None)[:, 1] == -1).all()


def test_a_table_gives_the_same_views() -> None:
    batches = []
    for source in (load, Table()):
        dataset = CaptionDataset(IMAGES, VOCABULARY, multi_view(source, 3))
        batches.append(next(iter(CaptionLoader(dataset, batch_size=20, seed=1))).images)
    assert batches[0].shape == (20, 3, 2)
    assert torch.equal(*batches)
