"""Constants of cameras and names of files are no descriptions; what people write is one."""

from __future__ import annotations

import io

import pyexiv2
import pytest
from PIL import Image

from showtell.alt.camera_texts import is_no_description
from showtell.alt.metadata import read_description, with_description


@pytest.mark.parametrize(
    "text",
    [
        *("OLYMPUS DIGITAL CAMERA         ", "SONY DSC\0\0", "Minolta DSC", "KODAK Digital Still Camera"),
        *(
            "<Digimax i5, Samsung #1>",
            "<KENOX S730  / Samsung S730>",
            "SAMSUNG CAMERA PICTURES",
            "LG Digital Camera",
        ),
        *("oznorWO", "hdrpl", "Exif_JPEG_PICTURE", "CASIO COMPUTER CO.,LTD.", "charset=Ascii", "untitled"),
        *(
            "DSC_0042",
            "IMG_20190619_105917",
            "P1010001.JPG",
            "20190619_105917",
            "DCIM\\100MEDIA\\DJI_0001.JPG",
        ),
        *("/sdcard/DCIM/my dog.jpeg", "IMG-20190619-WA0003", "holiday", "  ", "IMG_1234-HDR"),
    ],
)
def test_constants_and_names_describe_nothing(text: str) -> None:
    assert is_no_description(text, "photos/holiday.jpg")


@pytest.mark.parametrize(
    "text",
    [
        *("A dog", "Olympus", "Mount Olympus at dawn", "My new Sony DSC", "1985 cat", "Nora", "Paris 2019"),
        *(
            "SONY DSC-F1 in a shop window",
            "Scan of the letter in old.jpg on page 3",
            "Default position of arms",
        ),
        *("犬", "Bild 12: der Hafen", "3 cats"),
    ],
)
def test_what_people_write_is_kept(text: str) -> None:
    assert not is_no_description(text, "photos/holiday.jpg")


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ("exif", {"Exif.Image.ImageDescription": "OLYMPUS DIGITAL CAMERA         "}),
        ("xmp", {"Xmp.dc.description": {'lang="x-default"': "SONY DSC"}}),
        ("iptc", {"Iptc.Application2.Caption": "DSC_0042"}),
    ],
)
def test_a_constant_in_any_field_is_passed_over(block: str, field: dict[str, object]) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    with pyexiv2.ImageData(stream.getvalue()) as image:
        getattr(image, f"modify_{block}")(field)
        content = image.get_bytes()
    assert read_description(content, "a.jpg") == ""
    assert read_description(with_description(content, "A dog", "a.jpg"), "a.jpg") == "A dog"
    with pyexiv2.ImageData(content) as image:
        image.modify_exif({"Exif.Image.ImageDescription": "A person wrote this"})
        assert read_description(image.get_bytes(), "a.jpg") == "A person wrote this"
