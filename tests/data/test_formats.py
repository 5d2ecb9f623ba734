"""Formats of image files: photos of phones, and healthy files that cannot be read here."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from showtell.data import formats
from showtell.data.formats import HEAD_BYTES, readable_formats, unreadable_format
from showtell.data.images import decode_image
from showtell.errors import ImageError
from tests.bad_images import HEIGHT, WIDTH, encoded, make_image, stored_for
from tests.data.pixels import mean_difference, pixels_of


@pytest.fixture
def heif() -> Iterator[ModuleType]:
    yield pytest.importorskip("pillow_heif")
    formats._register_heif.cache_clear()


@pytest.mark.parametrize("name", ["photo.HEIC", "photo.heif", "photo.jpg"])
def test_heic_is_decoded_whatever_its_ending(heif: ModuleType, tmp_path: Path, name: str) -> None:
    heif.from_pillow(make_image()).save(tmp_path / "p.heic", quality=95)
    path = (tmp_path / "p.heic").rename(tmp_path / name)
    assert mean_difference(pixels_of(path), make_image()) < 6
    assert pixels_of(path.read_bytes()).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode_image(path.read_bytes()[:-300])


def test_heic_is_turned_as_the_phone_was_held(heif: ModuleType, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(stored_for(6)).save(tmp_path / "p.heic", quality=95, exif=exif.tobytes())
    assert mean_difference(pixels_of(tmp_path / "p.heic"), make_image()) < 6


def test_heic_of_10_bit(heif: ModuleType, tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 0xFFFF, WIDTH).astype(np.uint16), (HEIGHT, 1))
    deep = np.stack([grey, grey // 2, grey[:, ::-1]], axis=2)
    heif.encode("RGB;16", (WIDTH, HEIGHT), deep.tobytes(), str(tmp_path / "p.heic"), quality=95)
    assert mean_difference(pixels_of(tmp_path / "p.heic"), deep / 0xFFFF * 255) < 6


def test_avif_is_decoded() -> None:
    stream = io.BytesIO()
    make_image().save(stream, "AVIF", quality=95)
    assert mean_difference(pixels_of(stream.getvalue()), make_image()) < 6


HEALTHY = {
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": r"HEIC needs pillow-heif: pip install 'showtell\[heif\]'",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "HEIC needs pillow-heif",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf": "AVIF needs Pillow 11.3 or later",
    b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif": "AVIF needs Pillow",
    b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\0": "a JPEG XL image: convert it",
    b"\xff\x0a\x10\x20": "a JPEG XL image",
    b"8BPS\0\1": "a Photoshop document",
    b"%PDF-1.7": "a PDF document",
    b"II*\0\x10\0\0\0CR\2\0": "a raw photo of a Canon camera",
    b"\0\0\0\x18ftypcrx \0\0\0\1": "a raw photo of a Canon camera",
    b"  <svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing: convert it to PNG",
}


@pytest.mark.parametrize("head", HEALTHY)
def test_a_healthy_file_of_another_format_is_not_called_damaged(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    monkeypatch.setattr(formats, "readable_formats", lambda: ("JPEG", "PNG"))
    formats._register_heif.cache_clear()
    with pytest.raises(ImageError, match=HEALTHY[head]) as caught:
        decode_image(head + b"\0" * 100)
    assert "damaged" not in str(caught.value)
    formats._register_heif.cache_clear()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"])
def test_formats_that_are_read_need_no_advice(kind: str) -> None:
    assert unreadable_format(encoded(kind)[:HEAD_BYTES]) == ""
    assert kind in readable_formats()


@pytest.mark.parametrize("head", [b"", b"hello", b"\0\0\0\x18ftypisom\0\0\0\1isom", b"II*\0\x08\0\0\0"])
def test_of_other_files_nothing_is_known(head: bytes) -> None:
    assert unreadable_format(head) == ""


def test_formats_that_start_other_programs_are_not_read() -> None:
    assert not {"EPS", "WMF", "MPEG"}.intersection(readable_formats())


def test_decoding_imports_only_the_plugins_that_may_be_needed() -> None:
    """All of Pillow's would make every command slower."""
    code = (
        "import sys; from showtell.data.formats import readable_formats; readable_formats();"
        " print(*[name for name in sys.modules if name.endswith('ImagePlugin')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"PIL.JpegImagePlugin", "PIL.Jpeg2KImagePlugin"} <= set(printed.split())
    assert not {"PIL.EpsImagePlugin", "PIL.PdfImagePlugin"} & set(printed.split())
