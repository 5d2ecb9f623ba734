"""The formats of image files: which are read here, and what to do about healthy files of others."""

from __future__ import annotations

import functools
import importlib
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

from PIL import Image

HEAD_BYTES: Final = 32
"""Bytes at the beginning of a file by which its format is detected."""
_PLUGINS: Final = {  # Pillow's module of each format
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin",
    "AVIF": "AvifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "PPM": "PpmImagePlugin",
}
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_CONVERT = "convert it to JPEG or PNG"
_OTHERS: Final = (  # (beginning of the file, what it is)
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"II*\0\x10\0\0\0CR", "a raw photo of a Canon camera (CR2)"),
    (b"FUJIFILMCCD-RAW", "a raw photo of a Fujifilm camera (RAF)"),
    (b"IIRO", "a raw photo of an Olympus camera (ORF)"),
    (b"IIU\0", "a raw photo of a Panasonic camera (RW2)"),
)


def unreadable_format(head: bytes) -> str:
    """Why a healthy file of a known format cannot be read here, and what to do; empty if it can.

    pillow-heif is imported here, at the first HEIC photo: others do not wait for it.

    Args:
        head: the first `HEAD_BYTES` bytes of the file.
    """
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    compatible = {head[start : start + 4] for start in range(16, len(head), 4)} if brand else set()
    if brand in _AVIF_BRANDS or (brand in (b"mif1", b"msf1") and compatible.intersection(_AVIF_BRANDS)):
        if "AVIF" in readable_formats():
            return ""
        return "AVIF needs Pillow 11.3 or later: pip install --upgrade pillow, or convert it to JPEG"
    if brand in _HEIF_BRANDS:
        if _register_heif():
            return ""
        return "HEIC needs pillow-heif: pip install 'showtell[heif]', or convert it to JPEG"
    if brand == b"crx ":
        return f"not a finished image but a raw photo of a Canon camera (CR3): {_CONVERT}"
    for start, name in _OTHERS:
        if head.startswith(start):
            return f"not an image of a format that is read here but {name}: {_CONVERT}"
    if head.lstrip().startswith(b"<svg"):
        return "not an image of pixels but an SVG drawing: convert it to PNG"
    return ""


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """The formats that are read here and that this Pillow can read.

    Formats that start other programs (EPS) are not among them. Only the plugins of these are imported:
    `Image.init` would import all of Pillow's at the first photo.
    """
    for plugin in _PLUGINS.values():
        with suppress(ImportError):  # AVIF before Pillow 11.3
            importlib.import_module(f"PIL.{plugin}")
    return tuple(name for name in (*_PLUGINS, "HEIF") if name in Image.OPEN)


@functools.cache
def _register_heif() -> bool:
    """Make Pillow read HEIF by pillow-heif; whether that is there."""
    if find_spec("pillow_heif") is None:
        return False
    importlib.import_module("pillow_heif").register_heif_opener(thumbnails=False)
    readable_formats.cache_clear()
    return True
