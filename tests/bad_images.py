"""Real image files of every odd and every broken kind, made in a folder for the tests.

All showable ones but those of a size of their own show `make_image()`, so that a test can tell whether they
are decoded rightly.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 64, 48


def make_image(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red grows to the right, green downwards, a blue patch top left: no turn or flip of it is alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).round()
    pixels[..., 1] = np.linspace(0, 255, height).round()[:, None]
    pixels[: height // 4, : width // 4, 2] = 200
    return Image.fromarray(pixels)


def grey_16bit() -> np.ndarray:
    """(HEIGHT, WIDTH) uint16: from black to white, left to right."""
    return np.tile(np.linspace(0, 0xFFFF, WIDTH).round().astype(np.uint16), (HEIGHT, 1))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG file from its parts; `rows` may be too short for what the header claims."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows, 1)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def stored_for(orientation: int) -> Image.Image:
    """The image as a camera held in this EXIF orientation stores it (by numpy, not by Pillow)."""
    upright = np.asarray(make_image())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),  # to be turned clockwise by a quarter to be upright
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    return Image.fromarray(np.ascontiguousarray(stored))


def _with_alpha() -> Image.Image:
    """The image, opaque in its left half; in its right half black and wholly transparent."""
    rgba = np.dstack([np.asarray(make_image()), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[:, WIDTH // 2 :] = 0
    return Image.fromarray(rgba)


def _orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _corrupt_exif() -> bytes:
    """An IFD that promises 40 entries, the first far beyond the end, and stops there (Pillow warns of it)."""
    return b"Exif\0\0MM\0\x2a\0\0\0\x08" + struct.pack(">HHHII", 40, 0x010F, 2, 5000, 9000)


def _palette_with_alpha() -> Image.Image:
    """Four stripes of a palette: red, green, blue and a transparent one."""
    image = Image.fromarray(np.tile(np.repeat(np.arange(4, dtype=np.uint8), WIDTH // 4), (HEIGHT, 1)))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.info["transparency"] = bytes([255, 255, 255, 0])
    return image


def _make_colours(folder: Path) -> None:
    base = make_image()
    base.convert("CMYK").save(folder / "cmyk.jpg", quality=98)
    base.convert("L").save(folder / "grey.jpg", quality=98)
    base.convert("L").save(folder / "grey.png")
    base.convert("1", dither=Image.Dither.NONE).save(folder / "bilevel.png")
    base.quantize(256).save(folder / "palette.png")
    _palette_with_alpha().save(folder / "palette-alpha.png")
    _with_alpha().save(folder / "rgba.png")
    _with_alpha().convert("LA").save(folder / "la.png")
    base.save(folder / "colour-key.png", transparency=(0, 0, 200))
    Image.fromarray(grey_16bit()).save(folder / "grey16.png")
    Image.fromarray(grey_16bit()).save(folder / "grey16.tiff")
    Image.fromarray(grey_16bit().astype(np.float32) / 0xFFFF).save(folder / "float.tiff")
    maximum = b"P5 %d %d 65535\n" % (WIDTH, HEIGHT)
    (folder / "grey16.pgm").write_bytes(maximum + grey_16bit().astype(">u2").tobytes())
    rows = np.asarray(base).astype(">u2") * 257
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    (folder / "rgb16.png").write_bytes(png_bytes(WIDTH, HEIGHT, 16, 2, raw))


def _make_formats(folder: Path) -> None:
    base = make_image()
    base.save(folder / "plain.png")
    base.save(folder / "plain.jpg", quality=98, subsampling=0)
    base.save(folder / "progressive.jpg", quality=98, subsampling=0, progressive=True)
    base.save(folder / "plain.bmp")
    base.save(folder / "plain.ppm")
    base.save(folder / "plain.webp", lossless=True)
    base.save(folder / "lzw.tiff", compression="tiff_lzw")
    base.save(folder / "UPPER CASE é.JPG", quality=98, subsampling=0)
    base.save(folder / "png-inside.jpg", format="PNG")
    other = Image.new("RGB", base.size, "magenta")
    base.save(folder / "two.mpo", save_all=True, append_images=[other], quality=98, subsampling=0)
    frames = {"save_all": True, "append_images": [other], "duration": 50}
    base.save(folder / "animated.gif", **frames)
    base.save(folder / "animated.png", **frames)
    base.save(folder / "animated.webp", lossless=True, **frames)


def _make_metadata(folder: Path) -> None:
    for orientation in range(1, 9):
        stored, exif = stored_for(orientation), _orientation_exif(orientation)
        stored.save(folder / f"exif-{orientation}.jpg", exif=exif, quality=98, subsampling=0)
        stored.save(folder / f"exif-{orientation}.png", exif=exif)
    stored_for(6).save(folder / "exif-6.webp", exif=_orientation_exif(6), lossless=True)
    stored_for(6).save(folder / "exif-6.tiff", exif=_orientation_exif(6))
    make_image().save(folder / "exif-nonsense.png", exif=_orientation_exif(77))
    make_image().save(folder / "exif-corrupt.jpg", exif=_corrupt_exif(), quality=98, subsampling=0)


def _make_sizes(folder: Path) -> None:
    Image.new("RGB", (1, 1), (10, 200, 30)).save(folder / "1x1.png")
    Image.new("RGB", (1, 1), (10, 200, 30)).save(folder / "1x1.jpg", quality=98)
    make_image(1, 3000).save(folder / "1x3000.png")
    make_image(30_000, 200).save(folder / "30000x200.jpg")
    Image.new("L", (30_000, 3_000), 90).save(folder / "30000x3000.jpg")
    make_image(200, 30_000).save(folder / "200x30000.png", compress_level=1)


def make_odd_images(folder: Path) -> dict[str, Path]:
    """Make files that are unusual but can be shown, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in (_make_colours, _make_formats, _make_metadata, _make_sizes):
        make(folder)
    return {path.name: path for path in sorted(folder.iterdir())}


def encoded(kind: str, **options: object) -> bytes:
    """An image that hardly compresses, as the bytes of a file of this kind."""
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, kind, **options)
    return stream.getvalue()


def _overwritten(data: bytes) -> bytes:
    """The same with 2,000 bytes of another value in the middle."""
    return data[:9000] + b"\xa5" * 2000 + data[11000:]


def make_broken_images(folder: Path) -> dict[str, Path]:
    """Make files that cannot be shown, by file name; `missing.jpg` is named but not made."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "empty.jpg": b"",
        "text.jpg": b"a dog runs across the grass\n" * 20,
        "page.png": b"<!doctype html><title>404</title>",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "start-only.jpg": encoded("JPEG")[:12],
        "start-only.png": encoded("PNG")[:20],
        "bomb-header.png": png_bytes(100_000, 100_000, 8, 2, b"\0" * 100),
        "bomb-just-over.png": png_bytes(20_000, 10_001, 8, 2, b"\0" * 100),
        "bomb.png": png_bytes(15_000, 15_000, 1, 0, b"\0" * (15_000 * (1 + 15_000 // 8))),
        "truncated-progressive.jpg": encoded("JPEG", progressive=True)[:-2000],
        "truncated-lzw.tiff": encoded("TIFF", compression="tiff_lzw")[:-2000],  # its header is at its end
        "damaged-lzw.tiff": _overwritten(encoded("TIFF", compression="tiff_lzw")),
        "flipped-bits.png": encoded("PNG").replace(b"IDAT", b"IDAT\xff\xff\xff\xff", 1),
    }
    for kind in ("jpeg", "png", "gif", "bmp", "webp", "tiff"):
        whole = encoded(kind)
        files[f"truncated.{kind}"] = whole[: len(whole) * 2 // 3]
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir(exist_ok=True)
    return {name: folder / name for name in (*files, "folder.jpg", "missing.jpg")}
