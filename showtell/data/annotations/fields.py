"""The fields of annotation entries: the names that datasets give to them, and reading their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from showtell.data.annotations.entries import EntryError
from showtell.data.records import Split
from showtell.errors import AnnotationError

_MOST_NAMED = 4  # further names of a field, in a message
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


IMAGE_FIELDS: Final = (
    "image", "file_name", "filename", "image_name", "image_path", "file", "image_file", "img", "path",
    "image_id",
)  # fmt: skip
"""Fields that name an image's file, the most certain first. `image_id` may be the name without its ending."""

CAPTION_FIELDS: Final = (
    "caption", "text", "comment", "sentence", "description", "caption_str", "raw", "paragraph", "captions",
)  # fmt: skip
"""Fields that hold one caption."""

CAPTIONS_FIELDS: Final = ("captions", "sentences", "texts", "comments")
"""Fields that hold a list of captions."""

WANTED: Final = "image and caption (file_name and text are understood too)"
"""The recommended field names, for messages."""


def first_field(names: Collection[str], wanted: Collection[str]) -> str | None:
    """The first of the wanted fields that is among the names."""
    return next((name for name in wanted if name in names), None)


def missing_fields(names: Collection[str], *wanted: Sequence[str]) -> str:
    """Which of the wanted fields are not among the names: `no caption (or text, comment, ...)`."""
    lacking = [others for others in wanted if first_field(names, others) is None]
    return " and ".join(f"no {first}{_or(others)}" for first, *others in lacking)


def _or(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return f" (or {', '.join(names[:_MOST_NAMED])}{more})" if names else ""


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
        raise EntryError("wrong fields", f"{key!r} is missing{among(record)}")
    return record[key]


def among(record: Mapping[Any, Any]) -> str:
    """The names of the fields that an entry has, for a message."""
    return f" among {', '.join(map(str, record))[:100]}" if record else ""


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
