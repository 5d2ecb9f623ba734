"""Texts that cameras and programs write into every photo, and names of files: these describe nothing."""

from __future__ import annotations

import re
from pathlib import PurePath, PureWindowsPath
from typing import Final

from showtell.data.find_images import IMAGE_SUFFIXES

_CAMERAS: Final = """
olympus digital camera | sony dsc | nikon dsc | nikon digital camera | coolpix | kodak digital still
camera | kodak | minolta dsc | minolta digital camera | konica minolta digital camera | jenoptik digital
camera | samsung | samsung camera pictures | samsung digital camera | samsung techwin | lg digital
camera | lg electronics | casio computer co.,ltd | hp photosmart | dsc | dcim | dvc 10.1 hdmi | digital
camera | digitalcamera | digital still camera | camera | exif_jpeg_picture | exif jpeg picture |
exif_jpeg
"""
_MODES_OF_HUAWEI: Final = """
ptr | ptfbty | oznor | oznorwo | ozedf | dav | mde | mde_soft | edf | hdr | hdrpl | rhdr | nor | sdr |
sdr_hdrb | srps | cof | vhdr | rptr | rpt | rbt | rbtf | btf | btfhdr | btfmdn | btr | bty | fbt |
fbthdr | frontbhdp | frem | fac | qrf | mrfs | fshbty | maker:s,date:0
"""
_PROGRAMS: Final = """
created by imlib | created with gimp | iclarified | binary comment | charset=ascii | ascii | screenshot
| default | untitled | image | picture | photo | jpeg | unknown | none | null | n/a | - | x-default |
user comment | no description | description | description of image | my image
"""
_CONSTANTS: Final = frozenset(
    " ".join(text.split()) for texts in (_CAMERAS, _MODES_OF_HUAWEI, _PROGRAMS) for text in texts.split("|")
)
_MODEL_IN_BRACKETS: Final = re.compile(r"<[^<>]*\b(?:samsung|kenox|digimax)\b[^<>]*>", re.IGNORECASE)
_NUMBERED: Final = re.compile(
    r"(?:(?:p|dsc|dscn|dscf|_dsc|img|_mg|pict|imgp|sam|dji|mvimg|pxl|gopr|wp|cimg|sdc|kif|hpim|imag|image|picture|photo"
    r"|screenshot|scan)[ _-]?)?\d{3,}(?:[ _.-]?\d+)*(?:[_-]\w{1,6})?",
    re.IGNORECASE,
)
"""`P1010001`, `DSC_0042`, `IMG_20190619_105917`, `20190619_105917`"""


def is_no_description(text: str, name: str) -> bool:
    """Whether a text in the metadata is a constant of the camera, or the name of a file.

    Args:
        text: what the metadata say.
        name: of the image's file.
    """
    plain = " ".join(text.replace("\0", " ").split())
    if not plain or plain.casefold().strip(" .") in _CONSTANTS or _MODEL_IN_BRACKETS.fullmatch(plain):
        return True
    file = PureWindowsPath(
        plain
    )  # DJI's cameras write DCIM\100MEDIA\DJI_0001.JPG; slashes are understood too
    is_file = file.suffix.lower() in IMAGE_SUFFIXES and not re.search(r"\s\w+\s", plain)
    own = plain.casefold() in (PurePath(name).name.casefold(), PurePath(name).stem.casefold())
    return is_file or (own and not re.search(r"\s", plain)) or bool(_NUMBERED.fullmatch(plain))
