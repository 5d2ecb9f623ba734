"""What captions pictures, whatever computes it: PyTorch (`Captioner`), or an exported model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from showtell.config import SearchConfig
from showtell.data.images import ImageSource, ImageTransform
from showtell.data.loading import Decoded, batched, decode_ahead
from showtell.data.text import detokenize
from showtell.data.vocabulary import Vocabulary
from showtell.errors import ImageError
from showtell.evaluation.confidence import Calibration
from showtell.memory import release_free_memory
from showtell.search import Hypothesis, Specials

T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]

TIDY = 1024
"""Pictures after which free memory is given back."""


@dataclass(frozen=True)
class Caption:
    """A caption of a picture.

    Attributes:
        text: to be read by a person.
        words: as the model said them.
        word_log_probs: natural logarithm of each word's probability, and of the end's.
        attention: (T, rows, columns), where the decoder looked for each word, or None.
        confidence: probability that it is good (see `good_captions`); None of a model that has not been
            calibrated, and of drawn captions. It holds for the best caption of the run's own search; for
            further and diverse captions it is too low.
        word_confidences: (T,), probability that each word is one that people use for the picture, or None.
        doubtful: whether the confidence is below the model's threshold (see `Calibration`); False where there
            is no confidence, or no threshold.
    """

    text: str
    words: tuple[str, ...]
    word_log_probs: tuple[float, ...]
    attention: np.ndarray[Any, np.dtype[np.float32]] | None = None
    confidence: float | None = None
    word_confidences: tuple[float, ...] | None = None
    doubtful: bool = False

    @property
    def log_probability(self) -> float:
        """Natural logarithm of the caption's probability."""
        return sum(self.word_log_probs)


@dataclass(frozen=True)
class Captioned:
    """A picture's captions, best first; or why there are none."""

    source: Any
    captions: tuple[Caption, ...]
    error: ImageError | None = None


class CaptioningModel(ABC):
    """Captions pictures, by a way from pictures to features and one from features to hypotheses.

    Attributes:
        vocabulary: the words.
        calibration: of its confidence, where that has been calibrated.
    """

    vocabulary: Vocabulary
    calibration: Calibration | None

    @property
    @abstractmethod
    def transform(self) -> ImageTransform:
        """Makes the pictures that the encoder takes."""

    @property
    @abstractmethod
    def attends(self) -> bool:
        """Whether it tells where it looked for each word."""

    @property
    def device_type(self) -> str:
        """What computes: `cpu`, `cuda`, ..."""
        return "cpu"

    @property
    def search_batch_size(self) -> int:
        """Images whose captions are searched together where nothing else is asked for."""
        return 64

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the captions, besides the search: weights, words, precision."""

    @abstractmethod
    def encode_pixels(self, pixels: Sequence[Pixels]) -> Any:
        """Features (N, R, D) of N pictures (H, W, 3) uint8 that the transform has made.

        Returns:
            An array, or a tensor, which a list of places picks rows from.
        """

    @abstractmethod
    def find(self, features: Any, config: SearchConfig, *, attention: bool = False) -> list[list[Hypothesis]]:
        """Search captions for features (B, R, D)."""

    def caption(
        self, images: Sequence[ImageSource], config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption pictures, in one batch.

        Args:
            images: files, bytes or PIL images.
            config: how to search.
            attention: keep where the decoder looked.

        Returns:
            For each picture its captions, best first.

        Raises:
            ImageError: a picture cannot be shown.
        """
        if not images:
            return []
        pixels = [self.transform.pixels(image) for image in images]
        return self.caption_pixels(pixels, config, attention=attention)

    def caption_stream(
        self,
        sources: Iterable[T],
        config: SearchConfig | None = None,
        *,
        open_source: Callable[[T], ImageSource],
        batch_size: int | None = None,
        attention: bool = False,
    ) -> Iterator[Captioned]:
        """Caption any number of pictures as they come, in constant memory; decoding runs beside the encoder.

        Args:
            sources: the images, taken lazily. A sequence of many is decoded in processes, where the model is
                on a GPU.
            config: how to search.
            open_source: what to decode of a source; called in threads, or in those processes.
            batch_size: images whose captions are searched together; by default `search_batch_size`. The
                first batches are smaller (one image, then four, ...), so that the first captions come soon.
            attention: keep where the decoder looked.

        Yields:
            A `Captioned` for each source, in order; pictures that cannot be shown have their error.
        """
        largest = batch_size or self.search_batch_size
        decoded = self._decoded(sources, open_source, largest)
        size, since_tidy = 1, 0
        while batch := next(batched(decoded, size), None):
            yield from self._caption_batch(batch, config, attention)
            size = min(4 * size, largest)
            since_tidy += len(batch)
            if since_tidy >= TIDY:
                release_free_memory()
                since_tidy = 0

    def _decoded(
        self, sources: Iterable[T], open_source: Callable[[T], ImageSource], ahead: int
    ) -> Generator[Decoded[T, Pixels], None, None]:
        """The sources with their pixels: decoded in threads, or in processes where these pay."""

        def decode(source: T) -> Pixels:
            return self.transform.pixels(open_source(source))

        if self.device_type == "cuda" and isinstance(sources, Sequence):
            from showtell.data.processes import decode_in_processes, processes_pay

            if processes_pay(len(sources)):
                for item in decode_in_processes(sources, lambda source: [decode(source)]):
                    yield Decoded(item.source, item.pixels[0] if item.pixels else None, item.error)
                return
        yield from decode_ahead(sources, decode, ahead=ahead)

    def caption_pixels(
        self, pixels: Sequence[Pixels], config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption pictures (H, W, 3) uint8 that the transform has made."""
        return self.caption_features(self.encode_pixels(pixels), config, attention=attention)

    def caption_features(
        self, features: Any, config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption pictures by their features (B, R, D)."""
        config = config or SearchConfig()
        calibration = None if config.sample else self.calibration
        found = self.find(features, config, attention=attention)
        return [tuple(self._to_caption(h, calibration) for h in hypotheses) for hypotheses in found]

    def _caption_batch(
        self, batch: list[Decoded[T, Pixels]], config: SearchConfig | None, attention: bool
    ) -> Iterator[Captioned]:
        pixels = [item.pixels for item in batch if item.pixels is not None]
        found = iter(self.caption_pixels(pixels, config, attention=attention)) if pixels else iter(())
        for item in batch:
            captions = next(found) if item.pixels is not None else ()
            yield Captioned(item.source, captions, item.error)

    def _to_caption(self, hypothesis: Hypothesis, calibration: Calibration | None) -> Caption:
        words = tuple(self.vocabulary.decode(hypothesis.tokens))
        looked = None
        if hypothesis.attention is not None:
            side = int(len(hypothesis.attention[0]) ** 0.5) if len(hypothesis.attention) else 0
            looked = hypothesis.attention.reshape(-1, side, side) if side else None
        log_probs = hypothesis.token_log_probs
        caption = Caption(detokenize(words), words, log_probs, looked)
        if calibration is None:
            return caption
        confidence = calibration.of_caption(log_probs)
        return replace(
            caption,
            confidence=confidence,
            word_confidences=calibration.of_words(log_probs),
            doubtful=calibration.is_doubtful(confidence),
        )


def search_specials(vocabulary: Vocabulary) -> Specials:
    """The tokens that are no words of a caption."""
    never = (vocabulary.pad_id, vocabulary.start_id, vocabulary.unk_id)
    return Specials(vocabulary.start_id, vocabulary.end_id, never)
