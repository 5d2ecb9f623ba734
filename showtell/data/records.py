"""The record that every reader makes and everything else takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]
CaptionAuthor = Literal["person", "model"]


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """One image file with its captions.

    Attributes:
        path: the image file.
        captions: its captions as written, at least one.
        split: the part of the dataset it belongs to.
        image_id: the dataset's own name for it (COCO: the number), as text; if several datasets are read,
            with the name of its dataset before it.
        authors: who wrote each caption; empty if people wrote all of them.
        dataset: the name of its dataset, if several are read.
        weight: how often the image comes in an epoch of training.
    """

    path: Path
    captions: tuple[str, ...]
    split: Split
    image_id: str
    authors: tuple[CaptionAuthor, ...] = ()
    dataset: str = ""
    weight: float = 1.0

    @property
    def references(self) -> tuple[str, ...]:
        """The captions that people wrote."""
        if not self.authors:
            return self.captions
        written = zip(self.captions, self.authors, strict=True)
        return tuple(caption for caption, author in written if author == "person")
