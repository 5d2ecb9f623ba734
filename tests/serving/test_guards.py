"""What stands before every route: HEAD, unread bodies, pages of other sites, too many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from showtell.serving.guards import FinishRequests, LimitActive, answer
from tests.serving.conftest import Gate, StartService
from tests.serving.forms import ask_in_background, files

GETS = (
    "/",
    "/docs",
    "/v1/model",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/static/app.js",
    "/nothing",
)


def test_head_is_get_without_a_body(shared_client: TestClient) -> None:
    for path in GETS:
        head, get = shared_client.head(path), shared_client.get(path)
        assert head.status_code == get.status_code
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.content == b""


def test_a_route_that_takes_no_get_takes_no_head(shared_client: TestClient) -> None:
    assert shared_client.head("/v1/captions").status_code == 405


def test_no_redirect_goes_to_the_host_that_a_client_names(shared_client: TestClient) -> None:
    response = shared_client.get("/healthz/", headers={"host": "evil.example"}, follow_redirects=False)
    assert response.status_code == 404
    assert "evil" not in str(response.headers)


OWN = "http://testserver"


ORIGINS: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    ({"origin": OWN}, 200),
    ({"origin": "https://a.example"}, 200),
    ({"origin": "https://b.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://["}, 403),
    ({"origin": "http://testserver.evil.example"}, 403),
    ({"origin": "https://b.example", "sec-fetch-site": "same-origin", "host": "127.0.0.1:1"}, 200),
    ({"origin": OWN, "sec-fetch-site": "cross-site"}, 403),
    ({"origin": OWN, "sec-fetch-site": "same-site"}, 403),
]


def test_pages_of_other_sites_are_refused_unless_allowed(start: StartService, snippets: list[Path]) -> None:
    client = start(origins=("https://a.example",))
    for headers, status in ORIGINS:
        response = client.post("/v1/captions", files=files(snippets[0]), headers=headers)
        assert response.status_code == status, headers
        assert client.get("/healthz", headers=headers).status_code == 200


def test_too_many_requests_are_refused_and_the_state_is_answered(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    client, held, results = start(), gate(), list[int]()
    client.app.state.max_active = 1  # type: ignore[attr-defined]
    first = ask_in_background(client, files(snippets[0]), results)
    assert held.reached.wait(60)
    refused = client.get("/v1/model")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    held.open()
    first.join(60)
    assert client.get("/v1/model").status_code == 200
    assert results == [200]


class Exchange:
    """A request whose body comes in pieces, and what is sent in answer."""

    def __init__(self, pieces: int, headers: dict[str, str], method: str = "POST") -> None:
        self.pieces, self.sent, self.events = pieces, list[Message](), list[str]()
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.scope: Scope = {"type": "http", "method": method, "path": "/", "headers": raw}

    async def receive(self) -> Message:
        if self.pieces <= 0:
            await asyncio.sleep(60)
        self.pieces -= 1
        self.events.append("received")
        return {"type": "http.request", "body": b"x" * 100, "more_body": self.pieces > 0}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.events.append("answered" if message.get("body") else "sent")

    def run(self, app: Callable[[Scope, Receive, Send], object], **settings: float) -> None:
        guard = FinishRequests(app, **({"max_unread": 10_000} | settings))  # type: ignore[arg-type]
        asyncio.run(guard(self.scope, self.receive, self.send))  # type: ignore[arg-type]

    @property
    def closes(self) -> bool:
        return (b"connection", b"close") in self.sent[0]["headers"]


async def refuse(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await answer(send, 413, "too large")


def test_an_answer_comes_before_the_rest_of_the_body_is_dropped_and_ends_the_connection() -> None:
    exchange = Exchange(5, {"content-length": "500"})
    exchange.run(refuse)
    assert exchange.events == ["received", "sent", "answered", *["received"] * 4, "sent"]
    assert exchange.closes
    assert [message.get("more_body") for message in exchange.sent] == [None, True, False]


def test_an_endless_body_is_dropped_up_to_a_limit() -> None:
    exchange = Exchange(1000, {"transfer-encoding": "chunked"})
    exchange.run(refuse)
    assert exchange.events.count("received") == 1 + 101
    assert exchange.closes


def test_a_body_that_does_not_come_is_waited_for_a_moment_only() -> None:
    exchange = Exchange(0, {"content-length": "999"})
    exchange.run(refuse_at_once, seconds=0.05)
    assert exchange.events == ["sent", "answered", "sent"]
    assert exchange.closes


async def refuse_at_once(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer(send, 401, "no")


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
def test_a_request_that_was_read_keeps_its_connection(headers: dict[str, str]) -> None:
    exchange = Exchange(1, headers)
    exchange.run(refuse_at_once)
    assert not exchange.closes
    whole = Exchange(1, {"content-length": "100"})
    whole.run(refuse)
    assert not whole.closes


def test_the_count_of_requests_survives_errors() -> None:
    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError

    guard, exchange = LimitActive(fail, lambda: 1, ()), Exchange(1, {})
    for _ in range(2):
        with pytest.raises(RuntimeError):
            asyncio.run(guard(exchange.scope, exchange.receive, exchange.send))
    assert exchange.sent == []
