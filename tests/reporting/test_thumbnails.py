import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.errors import ImageError
from showtell.reporting.thumbnails import BYTES, SIDE, make_thumbnail


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_photos_keep_their_proportions_and_look(photos: list[Path]) -> None:
    for photo in photos:
        original, small = Image.open(photo), opened(make_thumbnail(photo))
        assert max(small.size) == SIDE
        assert small.width / small.height == pytest.approx(original.width / original.height, rel=0.01)
        expected = np.asarray(original.resize(small.size), np.float64)
        assert np.abs(np.asarray(small.convert("RGB")) - expected).mean() < 10


def test_even_noise_fits(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    data = make_thumbnail(tmp_path / "noise.png")
    assert len(data) <= BYTES
    assert opened(data).size[0] >= 32


def test_the_camera_may_have_been_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    Image.new("RGB", (300, 100)).save(tmp_path / "turned.jpg", exif=exif)
    width, height = opened(make_thumbnail(tmp_path / "turned.jpg")).size
    assert height == pytest.approx(3 * width, abs=3)


def test_what_is_no_photo_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(ImageError, match=r"text\.jpg"):
        make_thumbnail(tmp_path / "text.jpg")
