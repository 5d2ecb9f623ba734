"""Metrics of the service, as Prometheus reads them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from showtell.serving.batcher import Answer
from showtell.serving.telemetry import Telemetry
from tests.serving.forms import files


def test_state_and_metrics(client: TestClient, snippets: list[Path]) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post("/v1/captions", files=[*files(snippets[0]), ("images", ("x", b"x", ""))])
    client.get("/some/secret/path")
    text = client.get("/metrics").text
    assert 'showtell_requests_total{route="/v1/captions",status="200"} 1.0' in text
    assert 'showtell_requests_total{route="other",status="404"} 1.0' in text
    assert 'showtell_images_total{outcome="captioned"} 1.0' in text
    assert 'showtell_images_total{outcome="not shown"} 1.0' in text
    assert "showtell_pending_images 0.0" in text
    assert "secret" not in text


def values(telemetry: Telemetry) -> dict[str, float]:
    """The numbers of the service itself, by name and labels."""
    lines = telemetry.render().decode().splitlines()
    pairs = (
        line.rpartition(" ") for line in lines if line.startswith("showtell_") and "_created" not in line
    )
    return {name: float(value) for name, _, value in pairs}


def test_requests_photos_and_batches_are_counted() -> None:
    telemetry, other = Telemetry(), Telemetry()
    for status, seconds in ((200, 0.02), (200, 0.3), (503, 4.0)):
        telemetry.request("/v1/captions", status, seconds)
    telemetry.batch(3, 0.5)
    telemetry.batch(1, 0.25)
    telemetry.answer(Answer((), decode_seconds=0.1, queue_seconds=0.2, compute_seconds=0.5, batch_size=3))
    telemetry.refused()
    counted = values(telemetry)
    assert counted['showtell_requests_total{route="/v1/captions",status="200"}'] == 2
    assert counted['showtell_requests_total{route="/v1/captions",status="503"}'] == 1
    assert counted['showtell_request_seconds_sum{route="/v1/captions"}'] == pytest.approx(4.32)
    assert counted['showtell_request_seconds_bucket{le="0.5",route="/v1/captions"}'] == 2
    assert counted["showtell_batch_images_sum"] == 4
    assert counted['showtell_batch_images_bucket{le="2.0"}'] == 1
    assert counted["showtell_batch_seconds_total"] == pytest.approx(0.75)
    assert counted['showtell_images_total{outcome="captioned"}'] == 1
    assert counted['showtell_images_total{outcome="not shown"}'] == 1
    assert [
        counted[f'showtell_image_seconds_sum{{stage="{s}"}}'] for s in ("decode", "queue", "compute")
    ] == (pytest.approx([0.1, 0.2, 0.5]))
    assert values(other)["showtell_batch_images_sum"] == 0, "services do not share their numbers"


def test_photos_that_wait_are_those_of_the_batcher() -> None:
    telemetry, batcher = Telemetry(), SimpleNamespace(pending=7)
    telemetry.watch(batcher)  # type: ignore[arg-type]
    assert values(telemetry)["showtell_pending_images"] == 7
    batcher.pending = 0
    assert values(telemetry)["showtell_pending_images"] == 0
