"""Small files that take seconds or gigabytes to decode, made to hold a service up."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Final

from PIL import Image

SIDE: Final = 6900
"""Of square images just below the limit of pixels."""


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


def progressive_jpeg(side: int = SIDE, scans: int = 1000, *, first: bytes = b"") -> bytes:
    """A progressive JPEG of many scans, each of which goes over all blocks and changes nothing."""
    bits, blocks = "", (side // 8) ** 2
    while blocks > 0:
        run = max(16384, min(blocks, 32767))
        bits += "0" + format(run - 16384, "014b")
        blocks -= run
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = _segment(0xDA, b"\1\1\0\1\x3f\0") + data
    tables = _segment(0xC4, b"\x10\1" + b"\0" * 15 + b"\xe0")
    frame = _segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    return (
        b"\xff\xd8" + _segment(0xDB, b"\0" + b"\1" * 64) + first + frame + tables + scan * scans + b"\xff\xd9"
    )


def sequential_jpeg(side: int = SIDE, scans: int = 20_000) -> bytes:
    """A JPEG whose scans say that there is nothing more, again and again, behind what looks like its end."""
    tables = _segment(0xC4, b"\0\1" + b"\0" * 16) + _segment(0xC4, b"\x10\1" + b"\0" * 16)
    frame = _segment(0xC0, struct.pack(">BHHB", 8, side, side, 3) + b"\1\x11\0\2\x11\0\3\x11\0")
    scan = _segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0\0"
    decoy = _segment(0xFE, b"\xff\xd9")
    return (
        b"\xff\xd8"
        + _segment(0xDB, b"\0" + b"\1" * 64)
        + frame
        + tables
        + decoy
        + scan
        + (_segment(0xDA, b"\1\2\0\0\x3f\0") + b"\0\0") * scans
        + b"\xff\xd9"
    )


def jpeg_of_segments(count: int = 2_000_000) -> bytes:
    """A JPEG of empty segments, which Pillow reads one by one."""
    plain = io.BytesIO()
    Image.new("RGB", (64, 64)).save(plain, "JPEG")
    return b"\xff\xd8" + _segment(0xFE, b"") * count + plain.getvalue()[2:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _packed_zeros(size: int) -> bytes:
    """Zeros in zlib's format, made without compressing them all: a packed block of them is repeated."""
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(wbits=-15)
    rest = end.compress(bytes(size % 2**20)) + end.flush()
    return b"\x78\x9c" + block * (size // 2**20) + rest + struct.pack(">I", size % 65521 << 16 | 1)


def png(width: int, height: int, *, depth: int = 16, colours: int = 6, extra: bytes = b"") -> bytes:
    """A black PNG: RGBA of 16 bit by default."""
    channels = {0: 1, 2: 3, 6: 4}[colours]
    pixels = _packed_zeros(height * (1 + width * channels * depth // 8))  # each row begins with its filter
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_of_chunks(count: int = 1_000_000) -> bytes:
    """A small PNG with many unknown chunks."""
    return png(64, 64, extra=_chunk(b"abCd", b"") * count)


def gif_of_blocks(count: int = 4_000_000) -> bytes:
    """A GIF with many comments before its only frame."""
    plain = io.BytesIO()
    Image.new("P", (64, 64)).save(plain, "GIF")
    content = plain.getvalue()
    place = content.index(b",")
    return content[:place] + b"!\xfe\1a\0" * count + content[place:]


def tiff() -> bytes:
    """Grey values of 32 bit, packed well."""
    stream = io.BytesIO()
    Image.new("F", (SIDE, SIDE)).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()


def webp() -> bytes:
    """A large one without loss."""
    stream = io.BytesIO()
    Image.new("RGBA", (5000, 4000), (0, 0, 0, 9)).save(stream, "WEBP", lossless=True, method=0)
    return stream.getvalue()


HOSTILE: Final[dict[str, Callable[[], bytes]]] = {
    "progressive": progressive_jpeg,
    "progressive, looks ended": lambda: progressive_jpeg(first=_segment(0xFE, b"\xff\xd9")),
    "sequential, looks ended": sequential_jpeg,
    "segments": jpeg_of_segments,
    "png 16-bit RGBA": lambda: png(SIDE, SIDE),
    "png tall": lambda: png(1, 48_000_000, depth=8, colours=0),
    "png too tall": lambda: png(1, 190_000_000, depth=8, colours=0),
    "png chunks": png_of_chunks,
    "gif blocks": gif_of_blocks,
    "tiff float": tiff,
    "webp": webp,
}
"""Kinds of such files by name."""
