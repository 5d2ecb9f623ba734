"""The caption of an image, and what a captioning model returns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from showtell.data.inputs import thumbnail, to_image_source
from showtell.errors import ImageError
from showtell.web.caption_card import caption_html

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Caption:
    """A caption of an image.

    Attributes:
        text: the caption as it is displayed.
        words: the words of the caption, as the model generated them.
        word_log_probs: natural logarithm of each word's probability, and of the end's.
        attention: (T, rows, columns), an attention map per word, or None; not compared.
        confidence: probability that it is good (see `caption_labels`); None of a model that has not been
            calibrated, and of sampled captions. It holds for the best caption of the run's own search; for
            further and diverse captions it is too low.
        word_confidences: (T,), probability that a human caption of the image has this word, or None.
        doubtful: whether the confidence is below the model's threshold (see `Calibration`); False if there is
            no confidence, or no threshold.
        image: what notebooks show: the image's file, or a thumbnail of an image that was given in memory, or
            None.
    """

    text: str
    words: tuple[str, ...]
    word_log_probs: tuple[float, ...]
    attention: np.ndarray[Any, np.dtype[np.float32]] | None = field(default=None, compare=False)
    confidence: float | None = None
    word_confidences: tuple[float, ...] | None = None
    doubtful: bool = False
    image: Path | Image.Image | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        confidence = "" if self.confidence is None else f", confidence={self.confidence:.2f}"
        return f"Caption({self.text!r}{confidence}{', doubtful=True' if self.doubtful else ''})"

    def _repr_html_(self) -> str:
        """The photo with the caption and the attention for each word, for notebooks."""
        try:
            shown = thumbnail(self.image) if self.image is not None else None
        except ImageError:  # the file has moved
            shown = None
        return caption_html(
            self.text,
            self.words,
            image=shown,
            attention=self.attention,
            confidence=self.confidence,
            doubtful=self.doubtful,
        )

    @property
    def log_probability(self) -> float:
        """Natural logarithm of the caption's probability."""
        return sum(self.word_log_probs)


@dataclass(frozen=True)
class CaptionResult:
    """The captions of an image, best first, or the error that it has."""

    source: Any
    captions: tuple[Caption, ...]
    error: ImageError | None = None


def _for_display(done: CaptionResult, keep: bool) -> list[Caption]:
    """The captions of an image, with what notebooks show of it.

    Args:
        done: its source is a name for the image in errors, if it has no file, and the image.
        keep: make a thumbnail of an image that was given in memory.

    Raises:
        ImageError: the image could not be decoded.
    """
    name, image = done.source
    if done.error is not None:
        in_memory = not isinstance(image, str | Path)
        raise ImageError(name, done.error.reason) if in_memory else done.error
    source = to_image_source(image, name) if keep or isinstance(image, str | Path) else None
    shown = Path(source) if isinstance(source, str) else source
    if shown is not None and not isinstance(shown, Path):
        shown = thumbnail(shown)
    return [replace(caption, image=shown) for caption in done.captions]


def as_sentence(text: str) -> str:
    """A caption as a screen reader reads it: with a capital first letter."""
    return text[:1].upper() + text[1:]
