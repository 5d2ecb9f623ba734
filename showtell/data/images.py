"""Images in: safe decoding, and the one transform that feature extraction and inference share.

A source becomes an upright RGB image (`decode_image`), a view of it (`view_image`, `random_view`) and its
pixels (`to_pixels`); `showtell.data.preprocess` makes tensors of them. `ImageTransform` holds the settings of
that path together. All of it may be called from many threads.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from showtell.data.bit_depth import (
    grey_to_8_bit,
    is_16_bit_colour,
    is_nearly_black,
    restore_sensor_values,
    white_level,
    white_of_array,
)
from showtell.data.formats import HEAD_BYTES, readable_formats, unreadable_format
from showtell.data.urls import NOT_DOWNLOADED, is_url
from showtell.errors import ImageError

ImageSource = Path | str | bytes | Image.Image

MAX_PIXELS: Final = 200_000_000
"""Images with more pixels than this are refused: the largest photos of phones just fit."""

# Pillow's own guard stays on, for sizes that only show while decoding; it has to let through what we allow.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)

_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

_quiet_lock = threading.Lock()

_source_locks: Final = tuple(threading.Lock() for _ in range(64))
"""Locks of PIL images by their address: Pillow reads a file at the first use, and only in one thread."""


def _quiet_pillow() -> None:
    """Keep Pillow's warnings (odd metadata, large images) from the user: what matters becomes an error.

    `warnings.catch_warnings` is not safe between threads, so this filter is put first and left there.
    """
    with _quiet_lock:
        if list(warnings.filters[:1]) != [_QUIET]:
            warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")


def decode_image(
    source: ImageSource, *, size_hint: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode an image of any usual kind to upright 8-bit RGB.

    It is turned as its EXIF orientation says; values of 10 to 16 bit are scaled to 8 bit (see
    `showtell.data.bit_depth`); transparent parts become white; of an animation the first frame is
    taken. Its metadata is dropped.

    Args:
        source: a file, the bytes of one, or a PIL image, which is left as it is. Of colours of 16 bit a PIL
            image has only the high bytes: those of 10 or 12 bit are dark, so give the file or its bytes.
        size_hint: side in pixels that is enough: a larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size,
            as long as both of its sides stay at least this long. Much faster for large photos.
        max_pixels: refuse an image of more pixels, by its header, before decoding it. (Pillow
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
            if isinstance(source, Image.Image):
                image, white = _copied(source, name, max_pixels)
            else:
                image, white = _loaded(source, stack, size_hint, max_pixels)
            return _to_rgb(_upright(image), white)
    except ImageError:
        raise
    except Exception as error:  # a damaged file can raise about anything inside Pillow
        raise ImageError(name, _reason(error, name, max_pixels)) from error


def _copied(source: Image.Image, name: str, max_pixels: int) -> tuple[Image.Image, int | None]:
    """A decoded copy of a PIL image, and its value of white (see `bit_depth`)."""
    with _source_locks[(id(source) >> 4) % len(_source_locks)]:
        _check_size(source, name, max_pixels)
        image = source.copy()
        return image, white_level(source) or white_of_array(image, source.format)


def _loaded(
    source: Path | str | bytes, stack: ExitStack, size_hint: int | None, max_pixels: int
) -> tuple[Image.Image, int | None]:
    """A decoded file, and its value of white (see `bit_depth`)."""
    image = _open(source, stack)
    _check_size(image, _name(source), max_pixels)
    if size_hint is not None:
        image.draft(None, (size_hint, size_hint))
    deep = is_16_bit_colour(image)
    image.load()
    if deep and is_nearly_black(image):
        restore_sensor_values(image, _open(source, stack))
    return image, white_level(image)


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
    """Turn an image, in place, as its EXIF orientation says; one with broken metadata stays as stored."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # Pillow raises about anything at metadata that it cannot make sense of
        pass
    return image


def _to_rgb(image: Image.Image, white: int | None) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(grey_to_8_bit(np.asarray(image), white))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    if image.mode != "RGB":
        image = image.convert("RGB")
    image.info.clear()
    return image


def _reason(error: Exception, name: str, max_pixels: int) -> str:
    """Say in a few words why an image cannot be decoded."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return NOT_DOWNLOADED if is_url(name) else "no such file"
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
