"""Descriptions in image files: read back by Pillow, an independent reader; the pixels stay bit for bit."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyexiv2
import pytest
from PIL import Image, ImageCms
from skimage import data

from showtell.alt.metadata import read_description, with_description
from showtell.errors import DataError
from tests.bad_images import make_broken_images

TEXT = "A dog runs through the grass"


def make_image(kind: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(data.chelsea()[:64, :80]).save(stream, kind, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_description_is_written_beside_untouched_pixels(kind: str) -> None:
    before = make_image(kind)
    assert read_description(before, "a") == ""
    after = with_description(before, TEXT, "a")
    assert read_description(after, "a") == TEXT
    image = Image.open(io.BytesIO(after))
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(before))))
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or dict(image.tag_v2)[700]
    xmp = packet.decode() if isinstance(packet, bytes) else packet
    for name in ("dc:description", "Iptc4xmpCore:AltTextAccessibility"):
        assert re.search(rf"<{name}>\s*<rdf:Alt>\s*<rdf:li xml:lang=\"x-default\">{TEXT}<", xmp), xmp


def test_other_metadata_stays() -> None:
    exif = Image.Exif()
    exif[271] = "A camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    before = make_image("JPEG", exif=exif, icc_profile=profile, comment=b"a comment", quality=77)
    with pyexiv2.ImageData(before) as image:
        image.modify_xmp({"Xmp.dc.creator": ["A photographer"]})
        before = image.get_bytes()
    after = with_description(before, TEXT, "a")
    image = Image.open(io.BytesIO(after))
    assert image.getexif()[271] == "A camera"
    assert image.info["icc_profile"] == profile
    assert image.info["comment"].startswith(b"a comment")  # Exiv2 ends it with a zero
    with pyexiv2.ImageData(after) as image:
        assert image.read_xmp()["Xmp.dc.creator"] == ["A photographer"]
        assert image.read_iptc() == {}  # none was there: none is made
    scan = before[before.rindex(b"\xff\xda") :]
    assert after.endswith(scan)


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ("xmp", {"Xmp.dc.description": {'lang="x-default"': "Known"}}),
        ("xmp", {"Xmp.iptc.AltTextAccessibility": {'lang="x-default"': "Known"}}),
        ("iptc", {"Iptc.Application2.Caption": "Known"}),
        ("exif", {"Exif.Image.ImageDescription": "Known"}),
    ],
)
def test_a_description_of_any_kind_is_found(block: str, field: dict[str, object]) -> None:
    with pyexiv2.ImageData(make_image("JPEG")) as image:
        getattr(image, f"modify_{block}")(field)
        assert read_description(image.get_bytes(), "a") == "Known"


def test_iptc_is_written_where_there_is_some() -> None:
    with pyexiv2.ImageData(make_image("JPEG")) as image:
        image.modify_iptc({"Iptc.Application2.Keywords": ["cat"]})
        before = image.get_bytes()
    with pyexiv2.ImageData(with_description(before, TEXT, "a")) as image:
        iptc = image.read_iptc()
    assert iptc["Iptc.Application2.Caption"] == TEXT
    assert iptc["Iptc.Application2.Keywords"] == ["cat"]


def test_broken_files_are_refused_with_their_name(tmp_path: Path) -> None:
    refused = []
    for name, path in make_broken_images(tmp_path).items():
        if path.is_file():
            try:
                with_description(path.read_bytes(), TEXT, name)
            except DataError as error:
                refused.append((name, str(error)))
    assert len(refused) >= 3
    assert all(message.startswith(f"{name}: its metadata cannot be read") for name, message in refused)
