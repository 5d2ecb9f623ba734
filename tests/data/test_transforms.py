"""Views of images: their sizes and parts, and the settings of the path to an encoder's input."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.config import View
from showtell.data.images import decode_image
from showtell.data.transforms import (
    VIEWS,
    ImageTransform,
    random_view,
    resize_image,
    resize_in_proportion,
    view_image,
)
from showtell.errors import UsageError
from tests.bad_images import make_image
from tests.data.pixels import largest_difference


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.sampled_from(VIEWS))
def test_crops_are_square_for_any_size(width: int, height: int, size: int, view: View) -> None:
    image = make_image(width, height)
    assert resize_image(image, size).size == (size, size)
    squares = view.startswith(("crop", "random"))
    whole = resize_in_proportion(image, round(size * 7 / 9) if view.startswith("small") else size)
    assert view_image(image, view, size).size == ((size, size) if squares else whole.size)
    assert random_view(image, size, [0.5] * 5).size == (size, size)


def test_resize_squeezes_the_whole_image() -> None:
    small = np.asarray(resize_image(make_image(640, 480), 224)).astype(float)
    assert largest_difference(small[..., 0], np.tile((np.arange(224) + 0.5) / 224 * 255, (224, 1))) <= 2
    assert largest_difference(small[..., 1], np.tile((np.arange(224) + 0.5) / 224 * 255, (224, 1)).T) <= 2


@settings(max_examples=30)
@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([64, 100, 224, 288]))
def test_proportions_are_nearly_kept(width: int, height: int, size: int) -> None:
    shown = resize_in_proportion(Image.new("RGB", (width, height)), size)
    assert abs(shown.width * shown.height / size**2 - 1) < 0.2
    wanted = min(max(width / height, 1 / 3), 3)
    assert abs(math.log(shown.width / shown.height / wanted)) < 0.19
    turned = resize_in_proportion(Image.new("RGB", (height, width)), size)
    assert turned.size == shown.size[::-1]


def test_proportions_of_usual_photos() -> None:
    for given_size, shown in {
        (224, 224): (224, 224),
        (30, 30): (224, 224),
        (640, 480): (256, 192),
        (480, 640): (192, 256),
        (3000, 2000): (288, 192),
        (1920, 1080): (288, 160),
        (5000, 100): (384, 128),
        (1, 900): (128, 384),
    }.items():
        assert resize_in_proportion(Image.new("RGB", given_size)).size == shown


def test_the_whole_image_stays_in_sight() -> None:
    small = np.asarray(resize_in_proportion(make_image(640, 480), 224)).astype(float)
    assert largest_difference(small[..., 0], np.tile((np.arange(256) + 0.5) / 256 * 255, (192, 1))) <= 2
    assert largest_difference(small[..., 1], np.tile((np.arange(192) + 0.5) / 192 * 255, (256, 1)).T) <= 2


def test_a_square_of_the_right_size_is_unchanged() -> None:
    np.testing.assert_array_equal(resize_in_proportion(make_image(224, 224)), make_image(224, 224))


def test_resize_antialiases() -> None:
    stripes = np.zeros((448, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    middle = np.asarray(resize_image(Image.fromarray(stripes), 100))[:, 5:-5]
    assert largest_difference(middle, np.full_like(middle, 127)) <= 2


def test_an_image_of_the_right_size_is_unchanged() -> None:
    np.testing.assert_array_equal(resize_image(make_image(224, 224)), make_image(224, 224))


def test_views() -> None:
    image = make_image(500, 375)
    full, flip, crop, crop_flip = (np.asarray(view_image(image, view, 224)) for view in VIEWS[:4])
    np.testing.assert_array_equal(full, resize_in_proportion(image, 224))
    np.testing.assert_array_equal(flip, full[:, ::-1])
    np.testing.assert_array_equal(crop, np.asarray(resize_image(image, 256))[16:240, 16:240])
    np.testing.assert_array_equal(crop_flip, crop[:, ::-1])
    with pytest.raises(ValueError, match="unknown view 'left': choose one of full, flip, crop, crop-flip"):
        view_image(image, "left")  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "small"), [(288, 224), (224, 174), (72, 56)])
def test_small_views_are_the_whole_image_at_seven_ninths_of_the_size(size: int, small: int) -> None:
    image = make_image(500, 375)
    shown, mirrored = (np.asarray(view_image(image, view, size)) for view in ("small", "small-flip"))
    np.testing.assert_array_equal(shown, resize_in_proportion(image, small))
    np.testing.assert_array_equal(mirrored, shown[:, ::-1])
    square = view_image(make_image(400, 400), "small", size)
    assert square.size == (small, small)


def part_of(view: Image.Image) -> tuple[float, float, float, float, bool]:
    """Left, top, right, bottom (in 0..1) and whether mirrored, read off the colours of `image`."""
    pixels = np.asarray(view).astype(float) / 255
    first, last = pixels[:, 0, 0].mean(), pixels[:, -1, 0].mean()
    half = abs(last - first) / (view.width - 1) / 2  # a pixel shows its middle
    top, bottom = pixels[0, :, 1].mean(), pixels[-1, :, 1].mean()
    return min(first, last) - half, top - half, max(first, last) + half, bottom + half, first > last


def test_random_views_are_large_parts_spread_evenly_half_of_them_mirrored() -> None:
    image, random, draws = make_image(400, 300), np.random.default_rng(0), 300
    parts = np.array([part_of(random_view(image, 56, random.random(5))) for _ in range(draws)])
    width, height = parts[:, 2] - parts[:, 0], parts[:, 3] - parts[:, 1]
    assert abs(parts[:, 4].mean() - 0.5) < 0.09
    uncut = (width < 0.98) & (height < 0.98)
    area, proportion = (width * height), width / height
    assert area.min() > 0.42
    assert area[uncut].max() < 1
    assert 0.78 < proportion.min() < 0.83
    assert 1.21 < proportion.max() < 1.28
    for low, high in ((0, 2), (1, 3)):
        margin = 1 - (parts[:, high] - parts[:, low])
        place = parts[margin > 0.1, low] / margin[margin > 0.1]
        assert abs(place.mean() - 0.5) < 0.05
        assert abs((place < 0.25).mean() - 0.25) < 0.07


def test_cached_random_views_differ_by_number_and_image_and_stay_the_same() -> None:
    other = make_image(400, 300).transpose(Image.Transpose.ROTATE_180)
    views: list[View] = ["random-1", "random-2"]
    shown = [view_image(p, view, 56).tobytes() for p in (make_image(400, 300), other) for view in views]
    parts = [part_of(view_image(p, view, 56))[:4] for p in (make_image(400, 300), other) for view in views]
    assert len({tuple(np.round(part, 3)) for part in parts}) == 4
    assert shown == [view_image(p, v, 56).tobytes() for p in (make_image(400, 300), other) for v in views]


def test_the_transform_has_one_path() -> None:
    transform = ImageTransform(size=48)
    pixels = transform.pixels(make_image(), "crop")
    np.testing.assert_array_equal(pixels, view_image(make_image(), "crop", 48))
    assert (pixels.dtype, pixels.flags.writeable) == (np.uint8, True)


def test_the_fingerprint_tells_transforms_apart() -> None:
    default = ImageTransform()
    others = [ImageTransform(size=256), ImageTransform(mean=(0.5, 0.5, 0.5)), ImageTransform(std=(1, 1, 1))]
    assert default.fingerprint() == ImageTransform().fingerprint()
    assert len({transform.fingerprint() for transform in (default, *others)}) == 4
    assert default == ImageTransform()


def test_several_views_are_made_of_one_decoded_image(snippets: list[Path]) -> None:
    transform, views = ImageTransform(size=32), VIEWS[:3]
    together = transform.views(snippets[0], views)
    for view, pixels in zip(views, together, strict=True):
        np.testing.assert_array_equal(pixels, transform.pixels(snippets[0], view))


def test_a_transform_is_read_back_from_json() -> None:
    transform = ImageTransform(96, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    values = asdict(transform)
    assert ImageTransform.from_json(values) == transform
    assert ImageTransform.from_json({**values, "mean": [0.5, 0.4, 0.3]}) == transform


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 31},
        {"size": 4097},
        {"size": "96"},
        {"size": True},
        {"mean": None},
        {"mean": [0.5, 0.4]},
        {"std": [0.2, 0.3, 0.0]},
        {"std": [0.2, 0.3, math.nan]},
        {"std": [0.2, 0.3, True]},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"the image size is|three numbers each"):
        ImageTransform.from_json({**asdict(ImageTransform()), **wrong})
    with pytest.raises(ValueError, match="no object"):
        ImageTransform.from_json([96])  # type: ignore[arg-type]


def test_the_size_of_a_trained_model_may_be_changed_within_limits() -> None:
    transform = ImageTransform(96, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert transform.at_size(None) is transform
    assert transform.at_size(64) == ImageTransform(64, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    for size in (63, 1025):
        with pytest.raises(UsageError, match=f"image size {size}: choose 64 to 1024 pixels"):
            transform.at_size(size)


@pytest.mark.parametrize("size", ["320", 256.5, 256.0, True, np.float32(256), b"320", [320]])
def test_an_image_size_that_is_no_integer_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match=r"^image size .*: give an integer"):
        ImageTransform().at_size(size)


def test_integers_of_numpy_are_image_sizes() -> None:
    transform = ImageTransform().at_size(np.int64(256))
    assert transform == ImageTransform(256)
    assert type(transform.size) is int  # JSON takes no other


def test_photos_of_coco_are_not_changed_by_the_fast_path(shared_data: Path) -> None:
    for path in sorted((shared_data / "coco-mini" / "val2017").iterdir())[:3]:
        np.testing.assert_array_equal(ImageTransform().pixels(path), view_image(decode_image(path)))
