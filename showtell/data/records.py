"""The record that every reader makes and everything else takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """One image file with its captions.

    Attributes:
        path: the image file.
        captions: its captions as written, at least one.
        split: the part of the dataset it belongs to.
        image_id: the dataset's own name for it (COCO: the number), as text.
    """

    path: Path
    captions: tuple[str, ...]
    split: Split
    image_id: str
