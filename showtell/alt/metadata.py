"""Descriptions in the metadata of image files (XMP and IPTC), by pyexiv2; pixels are never touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyexiv2

from showtell.alt.camera_texts import is_no_description
from showtell.errors import DataError

ALT: Final = "Xmp.iptc.AltTextAccessibility"
DESCRIPTION: Final = "Xmp.dc.description"
CAPTION: Final = "Iptc.Application2.Caption"
EXIF: Final = "Exif.Image.ImageDescription"
_CHARSET: Final = {"Iptc.Envelope.CharacterSet": "\x1b%G"}  # UTF-8

pyexiv2.set_log_level(4)  # what matters is raised


def read_description(content: bytes, name: str) -> str:
    """The description in an image file; empty if there is none, or only a constant of the camera.

    Raises:
        DataError: its metadata cannot be read.
    """
    with _opened(content, name) as image:
        xmp, iptc, exif = image.read_xmp(), image.read_iptc(), image.read_exif()
    for value in (xmp.get(ALT), xmp.get(DESCRIPTION), iptc.get(CAPTION), exif.get(EXIF)):
        text = _text(value)
        if not is_no_description(text, name):
            return text
    return ""


def with_description(content: bytes, text: str, name: str) -> bytes:
    """The file with this description, which it must not have yet.

    It is written as the alt text of the IPTC's standard and as the description of Dublin Core, both in XMP;
    as IPTC caption too if the file has such metadata already (as the Metadata Working Group asks for).

    Raises:
        DataError: its metadata cannot be written.
    """
    with _opened(content, name) as image:
        default = {'lang="x-default"': text}
        image.modify_xmp({ALT: default, DESCRIPTION: default})
        if image.read_iptc():
            image.modify_iptc(_CHARSET | {CAPTION: text})
        return bytes(image.get_bytes())


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Any]:
    """pyexiv2's image; its errors become ours."""
    try:
        image = pyexiv2.ImageData(content)
        try:
            yield image
        finally:
            image.close()
    except Exception as error:  # of a damaged file it raises about anything
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: its metadata cannot be read or written ({reason})") from error


def _text(value: Any) -> str:
    """The text of a field, of the first language if it has several."""
    if isinstance(value, dict):
        value = next(iter(value.values()), "")
    return str(value or "").strip()
