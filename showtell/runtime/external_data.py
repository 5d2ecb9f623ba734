"""Files that an ONNX graph has its weights in, beside its own: read from its protocol buffer, without `onnx`.

The manifest's checksum of a graph does not cover them. The field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_Fields = dict[int, str]

_MESSAGES: Final[dict[str, _Fields]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
"""Kind of message -> kinds of the messages in its fields, if these lead to tensors."""
_DEEPEST: Final = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}


def external_files(path: Path) -> set[str]:
    """Names of the files that hold weights of a graph, as the graph has them.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return set(_locations(content, 0, len(content), "model", 0))


def _locations(content: mmap.mmap, start: int, stop: int, kind: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    known = _MESSAGES[kind]
    for number, begin, end in _length_delimited(content, start, stop):
        child = known.get(number)
        if child == "entry":
            strings = {n: content[b:e] for n, b, e in _length_delimited(content, begin, end)}
            if strings.get(1) == b"location":
                yield strings.get(2, b"").decode("utf-8", "replace")
        elif child is not None:
            yield from _locations(content, begin, end, child, depth + 1)


def _length_delimited(content: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of the fields of a message that hold bytes, text or messages."""
    position = start
    while position < stop:
        tag, position = _varint(content, position, stop)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, position = _varint(content, position, stop)
        elif wire in _SIZES:
            position += _SIZES[wire]
        elif wire == _BYTES:
            length, position = _varint(content, position, stop)
            if position + length > stop:
                raise ValueError("a field is longer than its message")
            yield number, position, position + length
            position += length
        else:
            raise ValueError(f"wire type {wire}")


def _varint(content: mmap.mmap, position: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while position < stop and shift < 64:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("a number without an end")
