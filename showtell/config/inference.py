"""Settings of search and of the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from showtell.config.checks import require

_RANGES: Final = {
    "length_penalty": (0, 10, ""),
    "diversity": (0, 100, ""),
    "temperature": (0.001, 1000, "; for greedy search leave out search.sample and set search.beam_size 1"),
}
"""Least and largest values (far beyond them scores are not finite), and advice for the error."""


@dataclass(frozen=True)
class SearchConfig:
    """The search for captions: beam search, or sampling."""

    beam_size: int = 3
    """Beams of the beam search; 1 is greedy search."""
    num_captions: int = 1
    """Captions per image, best first."""
    max_length: int = 20
    """Maximum number of words in a caption."""
    min_length: int = 1
    """Minimum number of words in a caption."""
    length_penalty: float = 0.8
    """Exponent p: captions are ranked by log-probability / length ** p; 0 ranks by log-probability alone."""
    block_ngram: int = 3
    """Size of the n-grams that may not repeat within a caption (`no_repeat_ngram_size` in transformers); 0
    allows repeats."""
    diversity: float = 0.0
    """Diverse beam search: penalty subtracted from a word's log-probability for each beam of an earlier group
    that chose it at this step. If above 0, each caption has its own group of `beam_size` beams; 0.5 gives
    clearly different captions."""
    sample: bool = False
    """Sample words at random instead of searching for the most likely caption."""
    temperature: float = 1.0
    """Sampling temperature, by which the logits are divided; below 1 favours likely words."""
    top_k: int = 0
    """Sample from the k most likely words only; 0 uses all words."""
    top_p: float = 1.0
    """Nucleus sampling: sample from the smallest set of words whose total probability reaches this value."""
    draws: int = 0
    """Number of captions to sample, of which the `num_captions` most likely are kept; 0 samples exactly
    `num_captions`."""
    seed: int = 0
    """Random seed of sampling. Photo n of a call, counted from 0 without those that cannot be decoded, has
    the random numbers of seed + n, for any batch size. (`showtell scale` counts in each work unit.)"""

    def __post_init__(self) -> None:
        for name in ("beam_size", "num_captions", "max_length"):
            require(getattr(self, name) >= 1, f"search.{name} must be at least 1")
        for name in ("min_length", "block_ngram", "top_k", "draws", "seed"):
            require(getattr(self, name) >= 0, f"search.{name} must be at least 0")
        for name, (low, high, advice) in _RANGES.items():
            in_range = low <= getattr(self, name) <= high
            require(in_range, f"search.{name} must be {low:g} to {high:g}{advice}")
        require(self.min_length <= self.max_length, "search.min_length must be at most search.max_length")
        require(self.block_ngram != 1, "search.block_ngram must not be 1: no word could come twice")
        require(0 < self.top_p <= 1, "search.top_p must be over 0 and at most 1")
        require(
            self.sample or self.diversity > 0 or self.num_captions <= self.beam_size,
            "search.num_captions must be at most search.beam_size (raise search.beam_size, or sample)",
        )
        require(
            not (self.sample and self.diversity),
            "search.diversity is for beam search: leave it out, or search.sample",
        )
        require(
            not self.draws or self.sample, "search.draws is for sampling: leave it out, or set search.sample"
        )
        require(
            not self.draws or self.draws >= self.num_captions,
            "search.draws must be at least search.num_captions",
        )


@dataclass(frozen=True)
class ServingConfig:
    """The limits of a service, and how it batches."""

    max_bytes: int = 20 * 2**20
    """Maximum number of bytes in a photo."""
    max_pixels: int = 48 * 2**20
    """Maximum number of pixels in a photo: 48 megapixels, such as 8064 x 6048."""
    max_images: int = 16
    """Maximum number of photos in a request."""
    max_request_bytes: int = 64 * 2**20
    """Maximum number of bytes in a request, all of its photos together."""
    queue_length: int = 256
    """Maximum number of photos that wait for their captions; more are refused (503)."""
    upload_memory: int = 512 * 2**20
    """Maximum number of bytes of requests held in memory; more are refused (503)."""
    time_limit: float = 30.0
    """Maximum number of seconds for a request with its upload; a shutdown waits as long."""
    decode_seconds: float = 8.0
    """Maximum number of seconds of processor time for decoding a photo."""
    batch_size: int = 32
    """Maximum number of photos captioned together."""
    max_wait: float = 0.005
    """Maximum number of seconds that a batch waits for photos which are being decoded."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_images", "queue_length", "batch_size"):
            require(getattr(self, name) >= 1, f"serving.{name} must be at least 1")
        require(self.time_limit > 0, "serving.time_limit must be over 0")
        require(self.decode_seconds > 0, "serving.decode_seconds must be over 0")
        require(self.max_wait >= 0, "serving.max_wait must be at least 0")
        require(
            self.queue_length >= self.max_images, "serving.queue_length must be at least serving.max_images"
        )
        require(
            self.max_request_bytes >= 4 / 3 * self.max_bytes,
            "serving.max_request_bytes must hold a photo of serving.max_bytes as base64: 4/3 of it",
        )
        require(
            self.upload_memory >= self.max_request_bytes,
            "serving.upload_memory must be at least serving.max_request_bytes",
        )
