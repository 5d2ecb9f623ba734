"""Settings of search and of the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from showtell.config.checks import require

_RANGES: Final = {
    "length_penalty": (0, 10, ""),
    "diversity": (0, 100, ""),
    "temperature": (0.001, 1000, "; for greedy search use beam_size 1"),
}
"""Least and largest values (far beyond them scores are not finite), and advice for the error."""


@dataclass(frozen=True)
class SearchConfig:
    """The search for captions: beam search, or sampling."""

    beam_size: int = 3
    """Beams of the beam search; 1 is greedy search."""
    num_captions: int = 1
    """Captions for an image, best first."""
    max_length: int = 20
    """Words in a caption, at most."""
    min_length: int = 1
    """Words in a caption, at least."""
    length_penalty: float = 0.8
    """Exponent p: captions are ranked by log-probability / length ** p; 0 ranks by log-probability alone."""
    block_ngram: int = 3
    """No sequence of so many words comes twice in a caption; 0 allows it."""
    diversity: float = 0.0
    """Of several captions (diverse beam search): penalty subtracted from a word's log-probability for
    each beam of an earlier caption that has the same word at this position. Over 0, each caption has
    `beam_size` beams of its own; 0.5 makes captions differ."""
    sample: bool = False
    """Sample words at random, instead of searching the most likely caption."""
    temperature: float = 1.0
    """Of sampling: what the logits are divided by; below 1 is more cautious."""
    top_k: int = 0
    """Of sampling: choose among so many most likely words; 0 among all."""
    top_p: float = 1.0
    """Of sampling: choose among the most likely words that hold this much of the probability (nucleus)."""
    draws: int = 0
    """Of sampling: captions to sample, of which the `num_captions` most likely are kept; 0 samples exactly
    `num_captions`."""
    seed: int = 0
    """Random seed of sampling. Photo n of a call, counted from 0, has the random numbers of seed + n, whatever
    the batch size and the other photos."""

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
    """Bytes in a photo, at most."""
    max_pixels: int = 48 * 2**20
    """Pixels in a photo, at most: 48 megapixels, such as 8064 x 6048."""
    max_images: int = 16
    """Photos in a request, at most."""
    max_request_bytes: int = 64 * 2**20
    """Bytes in a request at most, all of its photos together."""
    queue_length: int = 256
    """Photos that wait for their captions, at most; more are refused (503)."""
    upload_memory: int = 512 * 2**20
    """Bytes of requests held in memory, at most; more are refused (503)."""
    time_limit: float = 30.0
    """Seconds for a request at most, with its upload; a shutdown waits as long."""
    decode_seconds: float = 8.0
    """Seconds of processor time that decoding a photo may take, at most."""
    batch_size: int = 32
    """Photos captioned together, at most."""
    max_wait: float = 0.005
    """Seconds that a batch waits for photos which are being decoded, at most."""

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
