"""The interface of captioning models: `Captioner` (PyTorch), `ExportedCaptioner` (ONNX Runtime, OpenVINO)."""

from __future__ import annotations

import numbers
import pickle
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import numpy as np
import numpy.typing as npt

from showtell.captioning.caption import Caption, CaptionResult, _for_display
from showtell.captioning.confidence import Calibration
from showtell.config import SearchConfig
from showtell.data.decode_ahead import Decoded, batched, decode_ahead
from showtell.data.images import ImageSource
from showtell.data.inputs import is_image, to_image_source
from showtell.data.tokenizer import detokenize
from showtell.data.transforms import ImageTransform
from showtell.data.vocabulary import Vocabulary
from showtell.errors import ConfigError, UsageError
from showtell.search import Hypothesis, SpecialTokens
from showtell.search.settings import SearchKeywords, search_config
from showtell.utils.malloc import malloc_trim

if TYPE_CHECKING:
    from showtell.data.inputs import ImageInput


T = TypeVar("T")

Pixels = npt.NDArray[np.uint8]

TRIM_EVERY_IMAGES = 1024
"""Number of captioned images between calls of malloc_trim."""

KEEP_THUMBNAILS = 16
"""Thumbnails of in-memory images are kept for calls with at most this many."""


_ONE_IMAGE = "the image"
"""Name in errors of an image that is given alone and has no file."""


class CaptioningModel(ABC):
    """Base class of captioning models.

    Subclasses implement `encode_pixels` (images -> features) and `generate` (features -> hypotheses).

    Attributes:
        vocabulary: the words.
        calibration: of its confidence, or None if it is not calibrated.
        name: under which it was loaded by `showtell.load`, or None.
    """

    vocabulary: Vocabulary
    calibration: Calibration | None
    name: str | None = None

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        size = f"{len(self.vocabulary):,} words, image size {self.transform.size}"
        return f"{type(self).__name__}({name}{self.summary}, {size}, {self.runs_on})"

    @property
    @abstractmethod
    def summary(self) -> str:
        """The kind of its decoder, for `repr`."""

    @property
    @abstractmethod
    def runs_on(self) -> str:
        """The device or runtime that computes, for `repr`."""

    # A string is a sequence of strings too: the first signature that fits counts.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        images: ImageInput,
        *,
        num_captions: None = None,
        attention: bool = False,
        batch_size: int | None = None,
        **search: Unpack[SearchKeywords],
    ) -> Caption: ...
    @overload
    def __call__(
        self,
        images: Iterable[ImageInput],
        *,
        num_captions: None = None,
        attention: bool = False,
        batch_size: int | None = None,
        **search: Unpack[SearchKeywords],
    ) -> list[Caption]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        images: ImageInput,
        *,
        num_captions: int,
        attention: bool = False,
        batch_size: int | None = None,
        **search: Unpack[SearchKeywords],
    ) -> list[Caption]: ...
    @overload
    def __call__(
        self,
        images: Iterable[ImageInput],
        *,
        num_captions: int,
        attention: bool = False,
        batch_size: int | None = None,
        **search: Unpack[SearchKeywords],
    ) -> list[list[Caption]]: ...
    def __call__(
        self,
        images: Any,
        *,
        num_captions: int | None = None,
        attention: bool = False,
        batch_size: int | None = None,
        **search: Unpack[SearchKeywords],
    ) -> Caption | list[Caption] | list[list[Caption]]:
        """Caption an image, or several.

        Args:
            images: an image, or a list of images: paths, bytes, PIL images, arrays (H, W, 3 | 4 | 1) or (H,
                W), and tensors of these shapes or (3, H, W), all of uint8 or of floats of 0 to 1.
            num_captions: captions per image, best first.
            attention: return attention weights, as a map per word.
            batch_size: images whose captions are searched together; by default 64, on a GPU more.
            **search: further fields of `SearchConfig`, e.g. `beam_size`.

        Returns:
            A `Caption` for an image, a list of them for a list. If `num_captions` is given, there is a list
            of captions in place of each caption.

        Raises:
            ImageError: an image cannot be decoded.
            UsageError: an argument is unknown, of another type, or out of range, or an image is a URL.
        """
        asked = {} if num_captions is None else {"num_captions": num_captions}
        config = _search_config({**asked, **search})
        if attention and not self.has_attention:
            raise UsageError("attention: this model's decoder (pooled) has none; leave it out")
        single = is_image(images)
        if not single and (isinstance(images, Mapping) or not isinstance(images, Iterable)):
            to_image_source(images)  # raises: it is no image either
        given = [images] if single else images
        stream = self.caption_stream(
            ((_ONE_IMAGE if single else f"images[{n}]", each) for n, each in enumerate(given)),
            config,
            open_source=lambda named: to_image_source(named[1], named[0]),
            batch_size=batch_size,
            attention=attention,
        )
        keep = single or (isinstance(images, Sequence) and len(images) <= KEEP_THUMBNAILS)
        results = [_for_display(done, keep) for done in stream]
        if num_captions is not None:
            return results[0] if single else results
        best = [captions[0] for captions in results]
        return best[0] if single else best

    @property
    @abstractmethod
    def transform(self) -> ImageTransform:
        """Makes the images that the encoder takes."""

    @property
    @abstractmethod
    def has_attention(self) -> bool:
        """Whether the decoder returns attention weights."""

    @property
    def device_type(self) -> str:
        """The device: `cpu`, `cuda`, ..."""
        return "cpu"

    @property
    def search_batch_size(self) -> int:
        """Default number of images whose captions are searched together."""
        return 64

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the captions, besides the search: weights, words, precision."""

    @abstractmethod
    def encode_pixels(self, pixels: Sequence[Pixels]) -> Any:
        """Features (N, R, D) of N images (H, W, 3) uint8 that the transform has made.

        Returns:
            An array or tensor that can be indexed with a list of row numbers.
        """

    @abstractmethod
    def generate(
        self, features: Any, config: SearchConfig, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Search captions for features (B, R, D)."""

    def caption(
        self,
        images: ImageSource | Sequence[ImageSource],
        config: SearchConfig | None = None,
        *,
        attention: bool = False,
    ) -> list[tuple[Caption, ...]]:
        """Caption images, in one batch.

        Args:
            images: files, bytes or PIL images; one alone is taken as a list of one.
            config: how to search.
            attention: return attention weights.

        Returns:
            For each image its captions, best first.

        Raises:
            ImageError: an image cannot be decoded.
        """
        several = [images] if isinstance(images, ImageSource) else images
        if not several:
            return []
        pixels = [self.transform.pixels(image) for image in several]
        return self.caption_pixels(pixels, config, attention=attention)

    def caption_stream(
        self,
        sources: Iterable[T],
        config: SearchConfig | None = None,
        *,
        open_source: Callable[[T], ImageSource],
        batch_size: int | None = None,
        attention: bool = False,
    ) -> Iterator[CaptionResult]:
        """Caption any number of images as they come, in constant memory; decoding runs beside the encoder.

        Args:
            sources: the images, taken lazily. A sequence of many is decoded in processes if the model is on a
                GPU: they must be picklable, and those that come back are copies.
            config: how to search.
            open_source: what to decode of a source; called in threads, or in those processes.
            batch_size: images whose captions are searched together; by default `search_batch_size`. The
                first batches are smaller (one image, then four, ...), so that the first captions come soon.
            attention: return attention weights.

        Yields:
            A `CaptionResult` for each source, in order; images that cannot be decoded have their error.
        """
        _check_batch_size(batch_size)
        largest = batch_size or self.search_batch_size
        config = config or SearchConfig()
        size, captioned, since_tidy = 1, 0, 0
        with closing(self._decoded(sources, open_source, largest)) as decoded:
            while batch := next(batched(decoded, size), None):
                seeded = replace(config, seed=config.seed + captioned) if config.sample else config
                yield from self._caption_batch(batch, seeded, attention)
                size = min(4 * size, largest)
                captioned += sum(item.pixels is not None for item in batch)
                since_tidy += len(batch)
                if since_tidy >= TRIM_EVERY_IMAGES:
                    malloc_trim()
                    since_tidy = 0

    def _decoded(
        self, sources: Iterable[T], open_source: Callable[[T], ImageSource], ahead: int
    ) -> Generator[Decoded[T, Pixels], None, None]:
        """The sources with their pixels: decoded in threads, or in processes if these are faster."""

        def decode(source: T) -> Pixels:
            return self.transform.pixels(open_source(source))

        if self.device_type == "cuda" and isinstance(sources, Sequence) and _picklable(sources[:1]):
            from showtell.data.processes import decode_in_processes, should_use_processes

            size = self.transform.size
            if should_use_processes(len(sources), size):
                stream = decode_in_processes(sources, lambda source: [decode(source)], size=size)
                with closing(stream):
                    for item in stream:
                        yield Decoded(item.source, item.pixels[0] if item.pixels else None, item.error)
                return
        with closing(decode_ahead(sources, decode, ahead=ahead)) as decoded:
            yield from decoded

    def caption_pixels(
        self, pixels: Sequence[Pixels], config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption images (H, W, 3) uint8 that the transform has made."""
        return self.caption_features(self.encode_pixels(pixels), config, attention=attention)

    def caption_features(
        self, features: Any, config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption images by their features (B, R, D)."""
        config = config or SearchConfig()
        calibration = None if config.sample else self.calibration
        results = self.generate(features, config, attention=attention)
        return [tuple(self._to_caption(h, calibration) for h in hypotheses) for hypotheses in results]

    def _caption_batch(
        self, batch: list[Decoded[T, Pixels]], config: SearchConfig, attention: bool
    ) -> Iterator[CaptionResult]:
        pixels = [item.pixels for item in batch if item.pixels is not None]
        results = iter(self.caption_pixels(pixels, config, attention=attention)) if pixels else iter(())
        for item in batch:
            captions = next(results) if item.pixels is not None else ()
            yield CaptionResult(item.source, captions, item.error)

    def _to_caption(self, hypothesis: Hypothesis, calibration: Calibration | None) -> Caption:
        words = tuple(self.vocabulary.decode(hypothesis.tokens))
        attention = None
        if hypothesis.attention is not None:
            side = int(len(hypothesis.attention[0]) ** 0.5) if len(hypothesis.attention) else 0
            attention = hypothesis.attention.reshape(-1, side, side) if side else None
        log_probs = hypothesis.token_log_probs
        caption = Caption(detokenize(words), words, log_probs, attention)
        if calibration is None:
            return caption
        confidence = calibration.caption_confidence(log_probs)
        return replace(
            caption,
            confidence=confidence,
            word_confidences=calibration.word_confidences(log_probs),
            doubtful=calibration.is_doubtful(confidence),
        )


def _check_batch_size(size: Any) -> None:
    """Raise a UsageError unless a batch size is None or a number of images; NumPy's integers count too."""
    is_integer = isinstance(size, numbers.Integral) and not isinstance(size, bool)
    if size is not None and not (is_integer and size >= 1):
        raise UsageError(f"batch_size is {size!r}; it takes a whole number of 1 or more")


def _search_config(given: Mapping[str, Any]) -> SearchConfig:
    """Keyword arguments as a configuration; its errors are in the words of the call."""
    try:
        return search_config(given, function="model", others=("num_captions", "attention", "batch_size"))
    except ConfigError as error:
        raise ConfigError(re.sub(r"\bsearch\.(\w+)", r"\1", str(error))) from error


def special_tokens(vocabulary: Vocabulary) -> SpecialTokens:
    """The special tokens of a vocabulary."""
    banned = (vocabulary.pad_id, vocabulary.start_id, vocabulary.unk_id)
    return SpecialTokens(vocabulary.start_id, vocabulary.end_id, banned)


def _picklable(sources: Sequence[object]) -> bool:
    """Whether sources can go to another process."""
    try:
        pickle.dumps(list(sources))
    except Exception:  # pickling runs code of the sources, which can raise about anything
        return False
    return True
