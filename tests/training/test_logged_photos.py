"""Photos of an epoch for the loggers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from showtell.data.records import CaptionedImage
from showtell.training.logged_photos import CaptionedPhoto, chosen_photos, photo_figure

PHOTOS = [
    CaptionedPhoto(name, Image.new("RGB", (40, 30), name), f"a {name} $ photo") for name in ("red", "blue")
]


def test_the_same_photos_every_epoch(snippets: list[Path], tmp_path: Path) -> None:
    images = [CaptionedImage(path, ("a",), "val", path.stem) for path in snippets[:9]]
    captions = [f"caption {number}" for number in range(9)]
    chosen = chosen_photos(images, captions, 3)
    assert [(photo.name, photo.text) for photo in chosen] == [
        ("0000", "caption 0"), ("0003", "caption 3"), ("0006", "caption 6")
    ]  # fmt: skip
    lost = [CaptionedImage(tmp_path / "lost.jpg", ("a",), "val", "lost"), *images[:2]]
    assert [photo.name for photo in chosen_photos(lost, captions, 8)] == ["0000", "0001"]
    assert chosen_photos(images, [], 3) == chosen_photos(images, captions, 0) == []


@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_figure_has_every_photo(count: int) -> None:
    axes = photo_figure([PHOTOS[0]] * count).axes
    assert [each.get_title() for each in axes] == ["a red $ photo"] * count
