"""Connections: their number fits the limit of open files, idle ones make room, and no noise in the log."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from showtell.serving import connections
from showtell.serving.connections import AcceptErrors, fit_connections
from tests.serving.raw import HANG, exchange
from tests.serving.service import Service, running


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, int]]]:
    """The limit of open files, without touching that of this process."""
    held = {"limit": (1024, 1024)}
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: held["limit"])

    def set_limit(_kind: int, limit: tuple[int, int]) -> None:
        if limit[0] > held.get("allowed", (10**6, 0))[0]:
            raise ValueError
        held["limit"] = limit

    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return held


@pytest.mark.parametrize(
    ("limit", "connections", "after"),
    [
        ((1024, 1024), 768, 1024),
        ((1024, 4096), 1024, 1280),
        ((256, resource.RLIM_INFINITY), 1024, 1280),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1024, resource.RLIM_INFINITY),
        ((20_000, 20_000), 1024, 20_000),
        ((256, 300), 150, 300),
        ((64, 64), 32, 64),
    ],
)
def test_connections_fit_the_limit_of_open_files(
    limits: dict[str, tuple[int, int]],
    limit: tuple[int, int],
    connections: int,
    after: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits["limit"] = limit
    assert fit_connections() == connections
    assert limits["limit"][0] == after
    assert ("ulimit -n 1280" in caplog.text) == (connections < 1024)


def test_a_limit_that_cannot_be_raised_counts_as_it_is(limits: dict[str, tuple[int, int]]) -> None:
    limits.update(limit=(256, 10_000), allowed=(256, 0))
    assert fit_connections() == 128


def test_failing_accepts_are_one_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, loop = AcceptErrors(), asyncio.new_event_loop()
    with closing(loop), caplog.at_level(logging.ERROR):
        for _ in range(100):
            handler(
                loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "many")}
            )
        assert caplog.text.count("raise ulimit -n") == 1
        monkeypatch.setattr(connections, "_REPEAT", 0.0)
        handler(loop, {"message": "socket.accept() out of system resource"})
        assert caplog.text.count("raise ulimit -n") == 2
        handler(loop, {"message": "another"})
        assert "another" in caplog.text


# ---- A service of few connections


@pytest.fixture
def brief_service(model: Path) -> Iterator[Service]:
    """A service that waits for a request for a second only."""
    with running(model, "--time-limit", "1") as service:
        yield service


def get(service: Service, path: str = "/healthz") -> int:
    request = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()
    return exchange(service.port, request, soon=HANG)


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=HANG)


def test_idle_connections_make_room_for_others(service: Service) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(service)) for _ in range(200)]  # 64 are allowed
        for one in held[-20:]:
            one.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert get(service) == 200
        held[-1].sendall(b"Host: x\r\n\r\n")  # the newest were kept
        assert held[-1].recv(99).startswith(b"HTTP/1.1 200")
        assert held[0].recv(1) == b""
    assert "accept" not in "".join(service.log)


def test_a_connection_without_a_request_is_closed_after_the_time_limit(brief_service: Service) -> None:
    with connect(brief_service) as silent, connect(brief_service) as slow:
        slow.sendall(b"GET /healthz HT")
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""


def test_busy_connections_are_kept_and_the_state_is_answered(service: Service) -> None:
    head = b"POST /v1/captions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack:
        held = [stack.enter_context(connect(service)) for _ in range(60)]
        for one in held:
            one.sendall(head + b"Content-Length: 9\r\n\r\n")
        while get(service, "/v1/model") != 503:  # until all were seen
            pass
        assert get(service) == 200
        for one in held:
            one.sendall(b'{"a": 1}\n')
        answers = [one.recv(99)[:12] for one in held]
    assert set(answers) <= {b"HTTP/1.1 422", b"HTTP/1.1 503"}
    assert answers.count(b"HTTP/1.1 422") == 48


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(27)
HEAD = b"POST /v1/captions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
BOTH = HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZZZZ\r\n"
UPGRADE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: %b\r\n\r\n"
UNKNOWN = {
    "HTTP/2": (PREFACE, (400, 404)),
    "both lengths": (BOTH, (400,)),
    "two lengths": (BOTH.replace(b"Transfer-Encoding: chunked", b"Content-Length: 6"), (400,)),
    "TLS": (b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3", (400,)),
    "WebSocket": (UPGRADE % b"websocket", (200,)),
    "h2c": (UPGRADE % b"h2c", (200,)),
    "then garbage": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff\r\n\r\n", (400,)),
    "garbage in a body": (BOTH.replace(b"ZZZZZ", b"3\r\nabc\r\nnonsense"), (400, 415)),
    "nothing": (b"", (0,)),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_bytes_that_are_no_http_end_without_a_line_in_the_log(service: Service, kind: str) -> None:
    content, statuses = UNKNOWN[kind]
    before = len(service.log)
    assert exchange(service.port, content, soon=5.0 if content else 0.1) in statuses
    assert get(service) == 200
    assert service.log[before:] == []


def test_many_at_once_are_all_answered(service: Service) -> None:
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(get(service))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 40
