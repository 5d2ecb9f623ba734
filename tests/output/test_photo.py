import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.data.transforms import ImageTransform
from showtell.errors import ImageError
from showtell.output import Photo
from tests.bad_images import make_odd_images


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_odd_images(tmp_path_factory.mktemp("odd"))


def test_the_encoder_sees_the_same_with_a_preview(odd: dict[str, Path]) -> None:
    transform = ImageTransform(64)
    for name, path in odd.items():
        if "3000" in name:
            continue  # large: slow
        photo = Photo(name, str(path))
        pixels = transform.pixels(photo.open_with_preview(transform))
        assert np.array_equal(pixels, transform.pixels(path)), name


def test_a_preview_is_a_small_upright_jpeg(photos: list[Path], tmp_path: Path) -> None:
    with Image.open(photos[0]) as image:
        image.crop((0, 0, 500, 250)).rotate(90, expand=True).save(
            tmp_path / "turned.jpg",
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        )
    photo = Photo("turned", tmp_path / "turned.jpg")
    photo.open_with_preview(ImageTransform(64))
    assert photo.preview is not None
    with Image.open(io.BytesIO(photo.preview)) as preview:
        assert preview.format == "JPEG"
        assert max(preview.size) <= 400
        assert preview.width == pytest.approx(2 * preview.height, abs=2)


def test_a_photo_that_cannot_be_shown() -> None:
    photo = Photo("nowhere", "nowhere.jpg")
    with pytest.raises(ImageError, match=r"nowhere\.jpg: no such file"):
        photo.open_with_preview(ImageTransform())
    assert photo.preview is None
