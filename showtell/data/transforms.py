"""From a decoded image to the input of the encoder: views, resizing, the mean and deviation of ImageNet."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from showtell.config import View
from showtell.data.images import MAX_PIXELS, ImageSource, decode_image
from showtell.errors import UsageError

VIEWS: Final[tuple[View, ...]] = get_args(View)
"""The deterministic views that `view_image` makes."""

MEAN: Final = (0.4850196078431373, 0.457956862745098, 0.4076039215686274)
"""Mean of red, green and blue, in units of 0..1, that the default encoder takes (keras-applications
ResNet50: 0..255 minus 123.68, 116.779, 103.939)."""

STD: Final = (1 / 255, 1 / 255, 1 / 255)
"""Standard deviation that goes with `MEAN`: the default encoder takes centred values of 0..255."""

SMALLEST_SIZE: Final = 64

LARGEST_SIZE: Final = 1024
"""Image sizes that a trained model may be given, in pixels."""

_LARGEST_KNOWN: Final = 4096
"""Image size of a model's own, in pixels, at most."""

TRANSFORM_VERSION: Final = 4
"""Part of `ImageTransform.fingerprint`. Raise it whenever the same file would come out as other pixels."""

_STEPS = 7  # sides of a view in its own proportions are multiples of a 7th of the size: few shapes

_WIDEST = 3.0  # what is wider or taller than this is squeezed

_LEAST_AREA = 0.45  # of a random view, of 1

_MOST_SQUEEZED = 1.25  # width to height of a random view, if the whole is 1

_DRAFT_MARGIN = 1.5  # photos are decoded at no less than this many times the size that is needed


def resize_image(image: Image.Image, size: int = 224) -> Image.Image:
    """Resize the whole image to a square; its proportions are squeezed, nothing is cut off.

    Bicubic with antialiasing. Large images are first reduced by a whole factor, to no less than three
    times the size (Pillow's `reducing_gap`), which is faster and hardly differs.

    Args:
        image: an RGB image (see `decode_image`).
        size: side of the square in pixels.
    """
    return image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def resize_in_proportion(image: Image.Image, size: int = 224) -> Image.Image:
    """Resize the whole image to about `size`**2 pixels, nearly in its own proportions.

    The sides are whole multiples of a seventh of the size (of 32 pixels for 224): images come in few
    shapes. A square comes out as `size` x `size`, 4:3 as 256 x 192, 3:2 as 288 x 192. What is wider or
    taller than 3:1 is squeezed to that.

    Args:
        image: an RGB image (see `decode_image`).
        size: side in pixels of a square of the same area.
    """
    proportion = min(max(image.width / image.height, 1 / _WIDEST), _WIDEST)
    width, height = (
        round(round(_STEPS * side) * size / _STEPS)
        for side in (math.sqrt(proportion), 1 / math.sqrt(proportion))
    )
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _crop_margin(size: int) -> int:
    """Pixels by which an image is larger than the square cropped from it: 256 - 224 for 224."""
    return round(size * 8 / 7) - size


def small_size(size: int) -> int:
    """Side in pixels of the views `small` and `small-flip`: 7/9 of the size, 224 for 288."""
    return round(size * 7 / 9)


def view_image(image: Image.Image, view: View = "full", size: int = 224) -> Image.Image:
    """Make one of the deterministic views that the feature cache may hold.

    Args:
        image: an RGB image.
        view: `full` is the whole image in its proportions (see `resize_in_proportion`), `crop` the middle
            of the image squeezed to a square of 8/7 of the size (256 for 224), `small` the whole image in
            its proportions at 7/9 of the size (224 for 288). `flip`, `crop-flip` and `small-flip` are these
            mirrored left to right. `random-N` is a random view (see `random_view`) whose randomness comes
            from N and the image itself.
        size: side in pixels of the view, or of a square of the same area (of `small` and `small-flip`: 7/9
            of it).

    Raises:
        ValueError: `view` is not one of `VIEWS`.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}: choose one of {', '.join(VIEWS)}")
    if view.startswith("random-"):
        return random_view(image, size, np.random.default_rng(_image_seed(image, view)).random(5).tolist())
    if view.startswith("crop"):
        margin = _crop_margin(size)
        left = margin // 2
        shown = resize_image(image, size + margin).crop((left, left, left + size, left + size))
    else:
        shown = resize_in_proportion(image, small_size(size) if view.startswith("small") else size)
    return ImageOps.mirror(shown) if view.endswith("flip") else shown


def _image_seed(image: Image.Image, view: View) -> int:
    """A number that depends on the view's name and, roughly, on what is in the image."""
    return zlib.crc32(view.encode() + image.resize((8, 8), reducing_gap=1.0).tobytes())


def random_view(image: Image.Image, size: int, chances: Sequence[float]) -> Image.Image:
    """Make a random view for training: a part of the image, resized to a square, mirrored or not.

    The part has 45 to 100 % of the area and 4/5 to 5/4 of the proportions (after Szegedy et al. 2015,
    arXiv:1409.4842, with a larger part: what the captions mention has to stay in sight).

    Args:
        image: an RGB image.
        size: side of the view in pixels.
        chances: five random numbers in [0, 1): of its area, proportions, place (2) and mirroring.
    """
    area, proportion, x, y, mirrored = chances
    area = _LEAST_AREA + (1 - _LEAST_AREA) * area
    proportion = _MOST_SQUEEZED ** (2 * proportion - 1)
    width = image.width * min(1.0, math.sqrt(area * proportion))
    height = image.height * min(1.0, math.sqrt(area / proportion))
    left, top = x * (image.width - width), y * (image.height - height)
    box = (left, top, min(left + width, image.width), min(top + height, image.height))
    view = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return ImageOps.mirror(view) if mirrored < 0.5 else view


def check_image_size(size: int | None) -> None:
    """See whether a trained model may be given images of this size; None stands for its own.

    Raises:
        UsageError: it is no integer, less than `SMALLEST_SIZE` or more than `LARGEST_SIZE`.
    """
    if size is not None and (not isinstance(size, int | np.integer) or isinstance(size, bool)):
        raise UsageError(f"image size {size!r}: give an integer, the number of pixels")
    if size is not None and not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise UsageError(f"image size {size}: choose {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")


def to_pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Copy an image's pixels to a writable uint8 array (H, W, 3)."""
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # converting copies, too


def _three_numbers(value: object) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if not all(type(v) in (int, float) and abs(v) < 1e6 for v in value):  # not NaN either
        return None
    return (value[0], value[1], value[2])


@dataclass(frozen=True)
class ImageTransform:
    """The settings of the path from an image to an encoder's input; an encoder holds its own.

    Attributes:
        size: side in pixels of a square image; of others the area is about that of this square.
        mean: of red, green and blue, in units of 0..1.
        std: of red, green and blue, in units of 0..1.
    """

    size: int = 224
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ImageTransform:
        """Read what `dataclasses.asdict` gave.

        Raises:
            ValueError: a value is missing, of another type, or makes no sense.
        """
        if not isinstance(values, Mapping):
            raise ValueError("the transform is no object")  # noqa: TRY004 - what a file holds
        size, mean, std = (values.get(name) for name in ("size", "mean", "std"))
        if type(size) is not int or not 32 <= size <= _LARGEST_KNOWN:
            raise ValueError(f"the image size is {size!r}")
        colors = [_three_numbers(value) for value in (mean, std)]
        if colors[0] is None or colors[1] is None or min(colors[1]) <= 0:
            raise ValueError("mean and std are not three numbers each")
        return cls(size, colors[0], colors[1])

    def fingerprint(self) -> str:
        """Name everything that decides the encoder's input: features of another fingerprint are stale."""
        return f"transform v{TRANSFORM_VERSION} size={self.size} mean={self.mean!r} std={self.std!r}"

    def at_size(self, size: int | None) -> ImageTransform:
        """The same settings at another size; None keeps it.

        Raises:
            UsageError: the size is out of range (see `check_image_size`).
        """
        check_image_size(size)
        return self if size is None else replace(self, size=int(size))

    def decode(self, source: ImageSource, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Decode an image (see `decode_image`), large JPEGs at a reduced scale that is still enough.

        Enough is 1.5 times the size: photos of COCO (640 x 480) come out exactly as decoded in full.
        """
        return decode_image(source, size_hint=math.ceil(_DRAFT_MARGIN * self.size), max_pixels=max_pixels)

    def pixels(
        self, source: ImageSource, view: View = "full", max_pixels: int = MAX_PIXELS
    ) -> npt.NDArray[np.uint8]:
        """Decode an image and make a view of it: (H, W, 3) uint8, H x W about size x size.

        Raises:
            ImageError: the image cannot be decoded (see `decode_image`).
        """
        return to_pixels(view_image(self.decode(source, max_pixels), view, self.size))

    def views(
        self, source: ImageSource, views: Sequence[View], max_pixels: int = MAX_PIXELS
    ) -> list[npt.NDArray[np.uint8]]:
        """Decode an image once and make several views of it, each (H, W, 3) uint8.

        Raises:
            ImageError: the image cannot be decoded (see `decode_image`).
        """
        image = self.decode(source, max_pixels)
        return [to_pixels(view_image(image, view, self.size)) for view in views]
