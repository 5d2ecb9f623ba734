"""Images that are decoded anew in every epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from showtell.data.online_images import OnlineImages, undecodable
from showtell.data.preprocess import preprocess_image
from showtell.data.records import CaptionedImage
from showtell.data.transforms import ImageTransform
from showtell.errors import DataError

TRANSFORM = ImageTransform(64, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def record(path: Path) -> CaptionedImage:
    return CaptionedImage(path, ("a woman",), "train", path.name)


def test_without_a_seed_the_whole_image_is_shown(snippets: list[Path]) -> None:
    whole = preprocess_image(snippets[0], size=64, mean=TRANSFORM.mean, std=TRANSFORM.std)
    assert torch.equal(OnlineImages(TRANSFORM)(record(snippets[0]), None), whole)


def test_a_seed_decides_the_random_view(snippets: list[Path]) -> None:
    load = OnlineImages(TRANSFORM)
    one, again, other = (load(record(snippets[0]), draw) for draw in (5, 5, 6))
    assert one.shape == (3, 64, 64)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_photo_that_cannot_be_decoded_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: no such file; .*--skip-bad"):
        OnlineImages(TRANSFORM)(record(tmp_path / "gone.jpg"), 3)


def test_photos_that_cannot_be_decoded_are_listed(snippets: list[Path], tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    paths = [snippets[0], tmp_path / "page.jpg", snippets[1], tmp_path / "gone.jpg"]
    errors = undecodable([record(path) for path in paths], TRANSFORM)
    assert [error.source for error in errors] == [str(paths[1]), str(paths[3])]
