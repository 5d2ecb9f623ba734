"""Prometheus metrics of the service."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from showtell.serving.batcher import Answer, Batcher

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class Telemetry:
    """Counters and histograms of one service, in a registry of its own.

    Attributes:
        content_type: of `render`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "showtell_requests", "Requests by route and status.", ("route", "status"), registry=self._registry
        )
        self._request_seconds = Histogram(
            "showtell_request_seconds",
            "Seconds of a request by route, upload included.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._images = Counter(
            "showtell_images", "Photos by what became of them.", ("outcome",), registry=self._registry
        )
        self._stages = Histogram(
            "showtell_image_seconds",
            "Seconds of a photo by stage: decode, queue (waiting), compute (of its batch).",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "showtell_batch_images", "Photos of a batch.", buckets=_SIZES, registry=self._registry
        )
        self._batch_seconds = Counter(
            "showtell_batch_seconds", "Seconds that the model was busy.", registry=self._registry
        )
        self._pending = Gauge(
            "showtell_pending_images", "Photos taken and not yet answered.", registry=self._registry
        )

    def watch(self, batcher: Batcher) -> None:
        """Report how many images of a batcher wait."""
        self._pending.set_function(lambda: batcher.pending)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the path as declared, not as sent."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(size)
        self._batch_seconds.inc(seconds)

    def answer(self, answer: Answer) -> None:
        """Count a captioned image."""
        self._images.labels("captioned").inc()
        self._stages.labels("decode").observe(answer.decode_seconds)
        self._stages.labels("queue").observe(answer.queue_seconds)
        self._stages.labels("compute").observe(answer.compute_seconds)

    def refused(self) -> None:
        """Count an image that cannot be decoded."""
        self._images.labels("not shown").inc()

    def render(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
