"""Reading annotation files and the fields of their entries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.data.annotations.entries import EntryError
from showtell.data.records import Split
from showtell.errors import AnnotationError

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Bytes that are not UTF-8 become lone surrogates, so that the entry they are in is refused, not the file.

    Raises:
        AnnotationError: it cannot be read, is empty, or is no text (or UTF-16).
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read ({error.strerror}); check the file") from error
    if not data.strip():
        raise AnnotationError(f"{file}: the file is empty; download or write it again")
    if b"\0" in data:
        raise AnnotationError(f"{file}: not UTF-8 text; save the file as UTF-8")
    return data.decode("utf-8-sig", errors="surrogateescape")


def read_lines(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, each with its entry name (`file: line 3`).

    Raises:
        AnnotationError: as `read_text`.
    """
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if stripped := line.strip():
            yield f"{file}: line {number}", stripped


def first_line(file: Path) -> str:
    """The first line of a file, for telling its format; empty where it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return lines.readline(10_000).strip()
    except OSError:
        return ""


def contains(file: Path, text: bytes) -> bool:
    """Whether the file holds the text, for telling its format; False where it cannot be read."""
    try:
        return text in file.read_bytes()
    except OSError:
        return False


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        AnnotationError: as `read_text`, or it is not whole JSON.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        fix = "download or write the file again"
        raise AnnotationError(f"{file}: broken JSON ({str(error) or 'nested too deep'}); {fix}") from error


def parse_json_line(line: str) -> Any:
    """The content of one line of JSON.

    Raises:
        EntryError: it is not whole JSON.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EntryError("broken JSON", str(error) or "nested too deep") from None


def list_field(content: Any, key: str, file: Path) -> list[Any]:
    """A list at the top of a JSON file.

    Raises:
        AnnotationError: it is not there, or no list.
    """
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise AnnotationError(
            f"{file}: wrong fields: no list {key!r} at the top; check its format (--data.format)"
        )
    return value


def field(record: object, key: str) -> object:
    """A field of an entry, whatever it holds.

    Raises:
        EntryError: the entry is no object, or the field is missing.
    """
    if not isinstance(record, dict):
        raise EntryError("wrong fields", f"the entry is not an object but {_describe(record)}")
    if key not in record:
        raise EntryError("wrong fields", f"{key!r} is missing")
    return record[key]


def text_field(record: object, key: str) -> str:
    """A field of an entry that holds text.

    Raises:
        EntryError: the entry is no object, or the field is missing or of another type.
    """
    value = field(record, key)
    if not isinstance(value, str) or not value.strip():
        raise EntryError("wrong fields", f"{key!r} is not text but {_describe(value)}")
    return value


def id_field(record: object, key: str) -> str:
    """A field of an entry that holds a whole number or a text, as text.

    Raises:
        EntryError: the entry is no object, or the field is missing or of another type.
    """
    value = field(record, key)
    if isinstance(value, float) and value.is_integer():  # pandas writes 42 as 42.0
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise EntryError("wrong fields", f"{key!r} is not a number or name but {_describe(value)}")
    return str(value)


def split_field(record: object, key: str = "split") -> Split | None:
    """The split that an entry names (`dev`, `restval`, ... are understood), or None if it does not.

    Raises:
        EntryError: it names no known split.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if value is None or value == "":
        return None
    split = _SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
    if split is None:
        raise EntryError("unknown split", _describe(value))
    return split


def _describe(value: object) -> str:
    return f"{type(value).__name__} {ascii(value)[:60]}"
