"""The service over HTTP: answers, limits, safety."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from showtell.captioning.captioner import Captioner
from showtell.config import ServingConfig
from showtell.errors import ConfigError
from showtell.serving import Batcher
from tests.serving.conftest import Gate, StartService
from tests.serving.forms import as_base64, ask_in_background, files, post_until


def test_captions_are_the_offline_ones_by_multipart_and_by_json(
    shared_client: TestClient, shared_captioner: Captioner, snippets: list[Path]
) -> None:
    expected = [captions[0].text for captions in shared_captioner.caption(snippets[:5])]
    form = shared_client.post("/v1/captions", files=files(*snippets[:5]))
    urls = [f"data:image/jpeg;base64,{as_base64(path)}" for path in snippets[:2]]
    plain = [as_base64(path) for path in snippets[2:5]]
    body = shared_client.post("/v1/captions", json={"images": urls + plain})
    for response in (form, body):
        assert response.status_code == 200
        answer = response.json()
        assert [result["captions"][0]["text"] for result in answer["results"]] == expected
        assert answer["model"] == "tiny"
        assert answer["total_ms"] > 0
        assert answer["results"][0]["timing"]["batch_size"] >= 1


def test_of_several_images_those_that_cannot_be_shown_have_an_error(
    shared_client: TestClient, snippets: list[Path]
) -> None:
    sent = [*files(snippets[0]), ("images", ("b.jpg", b"nothing", "image/jpeg")), *files(snippets[1])]
    first, second, third = shared_client.post("/v1/captions", files=sent).json()["results"]
    assert first["captions"]
    assert third["captions"]
    assert second["captions"] == []
    assert "not an image of a known format" in second["error"]


def test_a_full_queue_is_503_with_retry_after(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    client, results = start(queue_length=2, max_images=2), list[int]()
    held = gate()
    first = ask_in_background(client, files(*snippets[:2]), results)
    assert held.reached.wait(60)
    refused = client.post("/v1/captions", files=files(snippets[2]))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get("/healthz").status_code == 200
    held.open()
    first.join(60)
    assert results == [200]
    assert client.post("/v1/captions", files=files(snippets[2])).status_code == 200


def test_a_request_over_its_time_is_503_and_leaves_the_queue(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    client, held = start(time_limit=1.5), gate()
    late = client.post("/v1/captions", files=files(snippets[0]))
    assert late.status_code == 503
    assert "1.5 seconds" in late.json()["detail"]
    assert "retry-after" in late.headers
    held.open()
    post_until(client, files(snippets[0]), 200)


def test_an_unforeseen_error_is_one_line(
    client: TestClient, captioner: Captioner, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_pixels: object) -> None:
        raise RuntimeError("the secret state of the machine")

    with monkeypatch.context() as patch:
        patch.setattr(captioner.encoder, "encode_pixels", fail)
        response = client.post("/v1/captions", files=files(snippets[0]))
    assert response.status_code == 500
    assert response.json() == {"detail": "unexpected error; it was logged"}
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 200


def test_a_token_guards_captions_and_metrics(start: StartService, snippets: list[Path]) -> None:
    client = start(token="sésame")
    for path in ("/v1/model", "/metrics"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer sesame", "Bearer", "Basic sésame", "sésame", "Bearer sésame2"):
        sent = client.post(
            "/v1/captions", files=files(snippets[0]), headers={"authorization": wrong.encode()}
        )
        assert sent.status_code == 401
    right = {"authorization": "Bearer sésame".encode()}
    assert client.post("/v1/captions", files=files(snippets[0]), headers=right).status_code == 200
    assert client.get("/metrics", headers=right).status_code == 200
    for path in ("/", "/docs", "/healthz", "/readyz"):
        assert client.get(path).status_code == 200


def test_other_sites_may_ask_only_where_that_is_allowed(start: StartService) -> None:
    origin = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in start().options("/v1/captions", headers=origin).headers
    allowing = start(origins=("https://a.example",), token="x")
    preflight = allowing.options("/v1/captions", headers=origin)
    assert preflight.headers["access-control-allow-origin"] == "https://a.example"
    refused = allowing.get("/v1/model", headers={"origin": "https://a.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://a.example"
    other = allowing.get("/v1/model", headers={"origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers


def test_it_is_not_ready_while_it_stops(client: TestClient) -> None:
    client.app.state.closing = True  # type: ignore[attr-defined]
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["connection"] == "close"
    assert client.get("/healthz").status_code == 200


def test_what_is_too_late_at_the_end_is_503(
    client: TestClient, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    held, results = gate(), list[int]()
    first = ask_in_background(client, files(snippets[0]), results)
    assert held.reached.wait(60)
    second = ask_in_background(client, files(snippets[1]), results)
    while "showtell_pending_images 2.0" not in client.get("/metrics").text:
        pass
    client.app.state.drop()  # type: ignore[attr-defined]
    second.join(60)
    assert results == [503]
    held.open()
    first.join(60)
    assert results == [503, 200]


def test_a_dead_captioning_thread_shows(
    start: StartService, captioner: Captioner, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(time_limit=1.0)
    monkeypatch.setattr(Batcher, "_next_batch", lambda _batcher: [])  # as if all were done
    post_until(client, files(snippets[0]), 200)  # the last one
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 503
    assert client.get("/healthz").status_code == 503
    assert client.get("/readyz").status_code == 503


def test_limits_that_contradict_each_other_are_refused() -> None:
    for limits in (
        {"queue_length": 4, "max_images": 5},
        {"max_bytes": 100, "max_request_bytes": 120},
        {"max_request_bytes": 2**30, "upload_memory": 2**20},
        {"time_limit": 0},
        {"batch_size": 0},
    ):
        with pytest.raises(ConfigError):
            ServingConfig(**limits)  # type: ignore[arg-type]
