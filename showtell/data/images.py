"""Pictures in: safe decoding, and the one transform that feature extraction and inference share.

A source becomes an upright RGB picture (`decode_image`), a view of it (`view_image`, `random_view`) and its
pixels (`to_pixels`); `showtell.data.tensors` makes tensors of them. `ImageTransform` holds the settings of
that path together. All of it may be called from many threads.
"""

from __future__ import annotations

import io
import math
import re
import threading
import warnings
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from showtell.config import View
from showtell.data.bit_depth import (
    grey_to_8_bit,
    is_16_bit_colour,
    is_nearly_black,
    restore_sensor_values,
    white_level,
)
from showtell.data.formats import HEAD_BYTES, readable_formats, unreadable_format
from showtell.errors import ImageError, UsageError

ImageSource = Path | str | bytes | Image.Image

VIEWS: Final[tuple[View, ...]] = get_args(View)
"""The deterministic views that `view_image` makes."""

MEAN: Final = (0.4850196078431373, 0.457956862745098, 0.4076039215686274)
"""Mean of red, green and blue, in units of 0..1, that the default encoder takes (keras-applications
ResNet50: 0..255 minus 123.68, 116.779, 103.939)."""
STD: Final = (1 / 255, 1 / 255, 1 / 255)
"""Standard deviation that goes with `MEAN`: the default encoder takes centred values of 0..255."""

MAX_PIXELS: Final = 200_000_000
"""Pictures with more pixels than this are refused: the largest photos of telephones just fit."""

SMALLEST_SIZE: Final = 64
LARGEST_SIZE: Final = 1024
"""Image sizes that a trained model may be given, in pixels."""

TRANSFORM_VERSION: Final = 4
"""Part of `ImageTransform.fingerprint`. Raise it whenever the same file would come out as other pixels."""

_STEPS = 7  # sides of a view in its own proportions are multiples of a 7th of the size: few shapes
_WIDEST = 3.0  # what is wider or taller than this is squeezed
_LEAST_AREA = 0.45  # of a random view, of 1
_MOST_SQUEEZED = 1.25  # width to height of a random view, where the whole is 1
_DRAFT_MARGIN = 1.5  # photos are decoded at no less than this many times the size that is needed

# Pillow's own guard stays on, for sizes that only show while decoding; it has to let through what we allow.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)

_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_quiet_lock = threading.Lock()


def _quiet_pillow() -> None:
    """Keep Pillow's warnings (odd metadata, large pictures) from the user: what matters becomes an error.

    `warnings.catch_warnings` is not safe between threads, so this filter is put first and left there.
    """
    with _quiet_lock:
        if list(warnings.filters[:1]) != [_QUIET]:
            warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")


def decode_image(
    source: ImageSource, *, size_hint: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode a picture of any usual kind to upright 8-bit RGB.

    It is turned as its EXIF orientation says; values of 10 to 16 bit are scaled to 8 bit (see
    `showtell.data.bit_depth`); transparent parts are shown on white; of an animation the first frame is
    taken. Its metadata is dropped.

    Args:
        source: a file, the bytes of one, or a PIL image, which is left as it is.
        size_hint: side in pixels that is enough: a larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size,
            as long as both of its sides stay at least this long. Much faster for large photos.
        max_pixels: refuse a picture of more pixels, as told by its header, before decoding it. (Pillow
            itself refuses twice `PIL.Image.MAX_IMAGE_PIXELS`, here 400 million.)

    Returns:
        An RGB image.

    Raises:
        ImageError: the file is missing, cannot be read, is empty, truncated, not an image or too large.
    """
    _quiet_pillow()
    name = _name(source)
    try:
        with ExitStack() as stack:
            image = source if isinstance(source, Image.Image) else _open(source, stack)
            _check_size(image, name, max_pixels)
            if image is source:
                image = image.copy()
            elif size_hint is not None:
                image.draft(None, (size_hint, size_hint))
            deep = is_16_bit_colour(image)
            image.load()
            if deep and is_nearly_black(image) and not isinstance(source, Image.Image):
                restore_sensor_values(image, _open(source, stack))
            return _to_rgb(_upright(image))
    except ImageError:
        raise
    except Exception as error:  # a damaged file can raise about anything inside Pillow
        raise ImageError(name, _reason(error, max_pixels)) from error


def _name(source: ImageSource) -> str:
    if isinstance(source, bytes):
        return f"<image data of {len(source)} bytes>"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "<image in memory>")
    return str(source)


def _stream(source: Path | str | bytes) -> io.BufferedReader[Any]:
    return io.BufferedReader(io.BytesIO(source)) if isinstance(source, bytes) else Path(source).open("rb")


def _open(source: Path | str | bytes, stack: ExitStack) -> Image.Image:
    """Read the header; the file is closed with `stack`."""
    stream = stack.enter_context(_stream(source))
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    if not head:
        raise ImageError(_name(source), "the file is empty")
    if reason := unreadable_format(head):
        raise ImageError(_name(source), reason)
    return stack.enter_context(Image.open(stream, formats=readable_formats()))


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height == 0:
        raise ImageError(name, "it has no pixels")
    if width * height > max_pixels:
        raise ImageError(name, f"too large: {width} x {height} is more than {max_pixels} pixels")


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture, in place, as its EXIF orientation says; one with broken metadata stays as stored."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # Pillow raises about anything at metadata that it cannot make sense of
        pass
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(grey_to_8_bit(np.asarray(image), white_level(image)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    if image.mode != "RGB":
        image = image.convert("RGB")
    image.info.clear()
    return image


def _reason(error: Exception, max_pixels: int) -> str:
    """Say in a few words why a picture cannot be shown."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "no such file"
        case IsADirectoryError():
            return "a folder, not an image file"
        case PermissionError():
            return "no permission to read it"
        case UnidentifiedImageError():
            return "not an image of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF, ...), or damaged"
        case Image.DecompressionBombError():
            return f"too large: more than {max_pixels} pixels"
        case MemoryError():
            return "too large for the memory of this machine"
        case OSError(strerror=str(strerror)):
            return f"it cannot be read ({strerror})"
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"damaged or truncated ({detail})"


def resize_image(image: Image.Image, size: int = 224) -> Image.Image:
    """Resize the whole picture to a square; its proportions are squeezed, nothing is cut off.

    Bicubic with antialiasing. Large pictures are first reduced by a whole factor, to no less than three
    times the size (Pillow's `reducing_gap`), which is faster and hardly differs.

    Args:
        image: an RGB image (see `decode_image`).
        size: side of the square in pixels.
    """
    return image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def resize_in_proportion(image: Image.Image, size: int = 224) -> Image.Image:
    """Resize the whole picture to about `size`**2 pixels, nearly in its own proportions.

    The sides are whole multiples of a seventh of the size (of 32 pixels for 224): pictures come in few
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
    """Pixels by which a picture is larger than the square cropped from it: 256 - 224 for 224."""
    return round(size * 8 / 7) - size


def small_size(size: int) -> int:
    """Side in pixels of the views `small` and `small-flip`: 7/9 of the size, 224 for 288."""
    return round(size * 7 / 9)


def view_image(image: Image.Image, view: View = "full", size: int = 224) -> Image.Image:
    """Make one of the deterministic views that the feature cache may hold.

    Args:
        image: an RGB image.
        view: `full` is the whole picture in its proportions (see `resize_in_proportion`), `crop` the middle
            of the picture squeezed to a square of 8/7 of the size (256 for 224), `small` the whole picture in
            its proportions at 7/9 of the size (224 for 288). `flip`, `crop-flip` and `small-flip` are these
            mirrored left to right. `random-N` is a random view (see `random_view`) whose randomness comes
            from N and the picture itself.
        size: side in pixels of the view, or of a square of the same area (of `small` and `small-flip`: 7/9
            of it).

    Raises:
        ValueError: `view` is not one of `VIEWS`.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}: choose one of {', '.join(VIEWS)}")
    if view.startswith("random-"):
        return random_view(image, size, np.random.default_rng(_picture_seed(image, view)).random(5).tolist())
    if view.startswith("crop"):
        margin = _crop_margin(size)
        left = margin // 2
        shown = resize_image(image, size + margin).crop((left, left, left + size, left + size))
    else:
        shown = resize_in_proportion(image, small_size(size) if view.startswith("small") else size)
    return ImageOps.mirror(shown) if view.endswith("flip") else shown


def _picture_seed(image: Image.Image, view: View) -> int:
    """A number that depends on the view's name and, roughly, on what is in the picture."""
    return zlib.crc32(view.encode() + image.resize((8, 8), reducing_gap=1.0).tobytes())


def random_view(image: Image.Image, size: int, chances: Sequence[float]) -> Image.Image:
    """Make a random view for training: a part of the picture, resized to a square, mirrored or not.

    The part has 45 to 100 % of the area and 4/5 to 5/4 of the proportions (after Szegedy et al. 2015,
    arXiv:1409.4842, with a larger part: what the captions tell of has to stay in sight).

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
        UsageError: it is less than `SMALLEST_SIZE` or more than `LARGEST_SIZE`.
    """
    if size is not None and not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise UsageError(f"image size {size}: choose {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")


def to_pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Copy an image's pixels to a writable uint8 array (H, W, 3)."""
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # converting copies, too


@dataclass(frozen=True)
class ImageTransform:
    """The settings of the path from a picture to an encoder's input; an encoder holds its own.

    Attributes:
        size: side in pixels of a square picture; of others the area is about that of this square.
        mean: of red, green and blue, in units of 0..1.
        std: of red, green and blue, in units of 0..1.
    """

    size: int = 224
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    def fingerprint(self) -> str:
        """Name everything that decides the encoder's input: features of another fingerprint are stale."""
        return f"transform v{TRANSFORM_VERSION} size={self.size} mean={self.mean!r} std={self.std!r}"

    def at_size(self, size: int | None) -> ImageTransform:
        """The same settings at another size; None keeps it.

        Raises:
            UsageError: the size is out of range (see `check_image_size`).
        """
        check_image_size(size)
        return self if size is None else replace(self, size=size)

    def decode(self, source: ImageSource, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Decode a picture (see `decode_image`), large JPEGs at a reduced scale that is still enough.

        Enough is 1.5 times the size: photos of COCO (640 x 480) come out exactly as decoded in full.
        """
        return decode_image(source, size_hint=math.ceil(_DRAFT_MARGIN * self.size), max_pixels=max_pixels)

    def pixels(
        self, source: ImageSource, view: View = "full", max_pixels: int = MAX_PIXELS
    ) -> npt.NDArray[np.uint8]:
        """Decode a picture and make a view of it: (H, W, 3) uint8, H x W about size x size.

        Raises:
            ImageError: the picture cannot be shown (see `decode_image`).
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
