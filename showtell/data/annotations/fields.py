"""The names that datasets give to the fields of an image and of its captions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

IMAGE_FIELDS: Final = (
    "image", "file_name", "filename", "image_name", "image_path", "file", "image_file", "img", "path",
    "image_id",
)  # fmt: skip
"""Fields that name an image's file, the surest first. `image_id` may be the name without its ending."""

CAPTION_FIELDS: Final = (
    "caption", "text", "comment", "sentence", "description", "caption_str", "raw", "paragraph", "captions",
)  # fmt: skip
"""Fields that hold one caption."""

CAPTIONS_FIELDS: Final = ("captions", "sentences", "texts", "comments")
"""Fields that hold a list of captions."""

WANTED: Final = "image and caption (file_name and text are understood too)"
"""What to name fields, for messages."""


def first_field(names: Collection[str], wanted: Collection[str]) -> str | None:
    """The first of the wanted fields that is among the names."""
    return next((name for name in wanted if name in names), None)
