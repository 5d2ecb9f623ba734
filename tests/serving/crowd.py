"""Clients of a service: many with ordinary photos, and some with hostile ones beside them."""

from __future__ import annotations

import collections
import contextlib
import http.client
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.serving.service import running

CLIENTS: Final = 64
TIME_LIMIT: Final = 20.0
"""Seconds of a request, and of the end."""


def post(port: int, image: bytes, *, path: str = "/v1/captions") -> int:
    """Send an image; the status of the answer, or 0 where there is none."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        + image
        + b"\r\n--b--\r\n"
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "multipart/form-data; boundary=b"})
        response = connection.getresponse()
        response.read()
    except (http.client.HTTPException, OSError):
        return 0
    else:
        return response.status
    finally:
        connection.close()


def get(port: int, path: str) -> int:
    """The status of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


@dataclass(frozen=True)
class Report:
    """What an attack did.

    Attributes:
        before: ordinary photos a second, before it.
        beside: ordinary photos a second, meanwhile.
        slowest_before: seconds of the slowest ordinary photo before it.
        slowest: seconds of the slowest ordinary photo.
        statuses: how many ordinary photos had which status.
        hostile: how many hostile images had which status.
        ready: status of /readyz meanwhile.
        memory: bytes of the service and its decoders at most.
        code: of the service's end.
        end: seconds from SIGTERM, sent under a second attack, to the end.
        log: what the service wrote.
        load: of the machine.
    """

    before: float
    beside: float
    slowest_before: float
    slowest: float
    statuses: collections.Counter[int]
    hostile: collections.Counter[int]
    ready: int
    memory: int
    code: int
    end: float
    log: str
    load: float


class _Crowd:
    """Clients that each send a photo, and the next as soon as they have its answer."""

    def __init__(self, port: int, photos: Sequence[bytes]) -> None:
        self.port, self.photos = port, photos
        self.seconds, self.statuses = list[float](), collections.Counter[int]()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def _ask(self, number: int) -> None:
        while not self.ended.is_set():
            start = time.monotonic()
            status = post(self.port, self.photos[number % len(self.photos)])
            self.seconds.append(time.monotonic() - start)
            self.statuses[status] += 1
            number += 1


class _Memory:
    """The memory of a process and its children, measured again and again."""

    def __init__(self, process: int) -> None:
        self.process, self.most, self.ended = psutil.Process(process), 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self.ended.wait(0.05):
            total = 0
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                for one in [self.process, *self.process.children(recursive=True)]:
                    total += one.memory_info().rss
            self.most = max(self.most, total)


def attack(
    model: Path | str, photos: Sequence[bytes], hostile: Sequence[bytes], *, seconds: float = 15
) -> Report:
    """Send hostile images beside a crowd, then again, and end the service in the middle of that."""
    answered = collections.Counter[int]()

    def send_all() -> list[threading.Thread]:
        def send(image: bytes) -> None:
            answered[post(service.port, image)] += 1

        threads = [threading.Thread(target=send, args=(image,)) for image in hostile]
        for thread in threads:
            thread.start()
        return threads

    with running(model, "--time-limit", f"{TIME_LIMIT:g}") as service:
        crowd, memory = _Crowd(service.port, photos), _Memory(service.process.pid)
        for thread in [memory.thread, *crowd.threads]:
            thread.start()
        time.sleep(5)
        before = len(crowd.seconds)
        threads = send_all()
        time.sleep(seconds)
        beside = len(crowd.seconds) - before
        ready = get(service.port, "/readyz")
        crowd.ended.set()
        for thread in [*crowd.threads, *threads]:
            thread.join(60)
        shares = collections.Counter(answered)
        threads = send_all()
        time.sleep(2)
        start = time.monotonic()
        code = service.stop()
        end = time.monotonic() - start
        memory.ended.set()
        for thread in [memory.thread, *threads]:
            thread.join(60)
    return Report(
        before=before / 5,
        beside=beside / seconds,
        slowest_before=max(crowd.seconds[:before]),
        slowest=max(crowd.seconds),
        statuses=crowd.statuses,
        hostile=shares,
        ready=ready,
        memory=memory.most,
        code=code,
        end=end,
        log="".join(service.log),
        load=os.getloadavg()[0],
    )
