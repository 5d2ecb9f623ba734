"""The captions of a photo, and the interface of their writers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # it imports torch, which writing files can do without
    from showtell.captioning.caption import Caption


@dataclass(frozen=True)
class Record:
    """A photo and its captions, or why it has none.

    Attributes:
        image: the photo's name, as given.
        captions: best first; empty if the photo cannot be decoded.
        error: why there are no captions, in a few words, or None.
        preview: the photo as a small JPEG file, if one was requested.
        min_confidence: captions of less confidence are doubtful; None for the model's own threshold.
        attention_map: file of the image of its attention, if one is drawn.
    """

    image: str
    captions: tuple[Caption, ...]
    error: str | None = None
    preview: bytes | None = None
    min_confidence: float | None = None
    attention_map: Path | None = None

    def doubtful(self, caption: Caption) -> bool:
        """Whether a caption is to be marked."""
        if self.min_confidence is None or caption.confidence is None:
            return caption.doubtful
        return caption.confidence < self.min_confidence


class Output(AbstractContextManager[Any], Protocol):
    """Takes records one by one, between being entered and left."""

    def add(self, record: Record) -> None:
        """Take a record."""
