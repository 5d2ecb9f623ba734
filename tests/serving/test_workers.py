"""Several processes at one port: restarted, stopped together, and their errors reported once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import pytest

from showtell.cli import main
from showtell.serving.server import bind
from showtell.serving.workers import Workers, reserve_port
from tests.serving.forms import files
from tests.serving.service import running
from tests.serving.toy_workers import broken, steady


def pids(folder: Path) -> set[int]:
    return {int(path.name.partition("-")[2]) for path in folder.glob("pid-*")}


def when(condition: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Do something in a thread once a condition holds."""

    def wait() -> None:
        until = time.monotonic() + 60
        while not condition() and time.monotonic() < until:
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.serving.workers._RESTART_SECONDS", 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all(quick: None, tmp_path: Path, number: signal.Signals) -> None:
    thread = when(lambda: len(pids(tmp_path)) == 2, lambda: os.kill(os.getpid(), number))
    workers = Workers(steady, str(tmp_path), 4321, 2)
    if number == signal.SIGINT:
        with pytest.raises(KeyboardInterrupt):
            workers.run()
    else:
        assert workers.run() == 0
    thread.join()
    assert {path.read_text() for path in tmp_path.glob("pid-*")} == {"4321"}
    assert len(list(tmp_path.glob("stopped-*"))) == 2


def test_one_that_dies_is_started_again(
    quick: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killer = when(lambda: len(pids(tmp_path)) == 2, lambda: os.kill(max(pids(tmp_path)), signal.SIGKILL))
    ender = when(lambda: len(pids(tmp_path)) == 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert Workers(steady, str(tmp_path), 1, 2).run() == 0
    killer.join()
    ender.join()
    assert "died (exit code -9); starting it again" in caplog.text


def test_an_error_at_the_start_is_reported_once(quick: None, tmp_path: Path) -> None:
    assert Workers(broken, str(tmp_path), 1, 3).run() == 2
    assert len(pids(tmp_path)) == 1


def test_a_reserved_port_is_shared_by_workers_only() -> None:
    with reserve_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with bind("127.0.0.1", port, shared=True) as first, bind("127.0.0.1", port, shared=True) as second:
            first.listen()
            second.listen()
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", port)).close()
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(OSError, match="in use"),
    ):
        reserve_port("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize("count", ["0", "-1"])
def test_misuse(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--workers", count]) == 2
    assert "--workers must be at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_two_workers_serve_at_one_port(model: Path, snippets: list[Path]) -> None:
    with running(model, "--workers", "2") as service:
        until = time.monotonic() + 60
        while not any("ready at" in line for line in service.log) and time.monotonic() < until:
            time.sleep(0.1)
        starts = set()
        for _ in range(40):  # each over a connection of its own
            assert httpx.get(f"{service.address}/readyz").status_code == 200
            metrics = httpx.get(f"{service.address}/metrics").text
            starts |= {line for line in metrics.splitlines() if line.startswith("process_start_time")}
        assert len(starts) == 2
        answer = httpx.post(f"{service.address}/v1/captions", files=files(snippets[0]), timeout=30)
        assert answer.json()["results"][0]["captions"]
        assert service.stop() == 0
