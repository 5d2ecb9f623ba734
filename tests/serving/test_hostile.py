"""Images made to hold the service up: ordinary photos are captioned meanwhile, and it ends in time."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from showtell.resources import DEFAULT_MODEL
from tests.serving.hostile import HOSTILE, progressive_jpeg
from tests.serving.service import Service, running

HEALTHY_CLIENTS = 64
TIME_LIMIT = 20.0


def post(service: Service, image: bytes) -> int:
    sent = [("images", ("a", image, "image/jpeg"))]
    return httpx.post(f"{service.address}/v1/captions", files=sent, timeout=60).status_code


def test_a_decoder_that_is_busy_for_minutes_does_not_delay_the_end(model: Path, snippets: list[Path]) -> None:
    slow = progressive_jpeg(4096, 20_000)
    with running(model, "--time-limit", "2", "--decode-seconds", "60") as service:
        threads = [threading.Thread(target=post, args=(service, slow)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert post(service, snippets[0].read_bytes()) == 200
        assert httpx.get(f"{service.address}/readyz").status_code == 200
        start = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - start < 10  # 3 where the machine is not busy
        for thread in threads:
            thread.join(10)
        assert "Traceback" not in "".join(service.said)


class Watched:
    """The memory of a service and its decoders, measured again and again."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.most, self.ended = psutil.Process(process.pid), 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self.ended.wait(0.05):
            total = 0
            for one in [self.process, *self.process.children(recursive=True)]:
                try:
                    total += one.memory_info().rss
                except psutil.NoSuchProcess:  # it ended meanwhile
                    continue
            self.most = max(self.most, total)


class Crowd:
    """Clients that each send a photo, and the next as soon as they have its answer."""

    def __init__(self, service: Service, photos: list[bytes]) -> None:
        self.service, self.photos = service, photos
        self.seconds, self.statuses = list[float](), list[int]()
        self.ended = threading.Event()
        self.threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(HEALTHY_CLIENTS)
        ]

    def _ask(self, number: int) -> None:
        while not self.ended.is_set():
            start = time.monotonic()
            self.statuses.append(post(self.service, self.photos[number % len(self.photos)]))
            self.seconds.append(time.monotonic() - start)
            number += 1


@pytest.mark.slow
def test_twenty_hostile_images_beside_sixty_four_clients(snippets: list[Path]) -> None:
    hostile = [make() for make in HOSTILE.values()]
    hostile = (hostile * 2)[:20]
    options = ("--time-limit", f"{TIME_LIMIT:g}")
    with running(DEFAULT_MODEL, *options) as service:
        crowd = Crowd(service, [path.read_bytes() for path in snippets])
        watched = Watched(service.process)
        attackers = [threading.Thread(target=post, args=(service, image)) for image in hostile]
        for thread in [watched.thread, *crowd.threads]:
            thread.start()
        time.sleep(5)
        quiet = len(crowd.seconds)
        for thread in attackers:
            thread.start()
        time.sleep(15)
        assert httpx.get(f"{service.address}/readyz", timeout=5).status_code == 200
        crowd.ended.set()
        for thread in crowd.threads:
            thread.join(60)
        again = [threading.Thread(target=post, args=(service, image)) for image in hostile]
        for thread in again:
            thread.start()
        time.sleep(2)
        start = time.monotonic()
        code = service.stop()
        end = time.monotonic() - start
        watched.ended.set()
        for thread in [watched.thread, *attackers, *again]:
            thread.join(60)
    late = max(crowd.seconds)
    print(
        f"{quiet} photos in 5 s before, {len(crowd.seconds) - quiet} in 15 s beside {len(hostile)} hostile"
        f" images; slowest {late:.1f} s; {watched.most / 2**30:.2f} GiB; gone {end:.1f} s after SIGTERM;"
        f" load {os.getloadavg()[0]:.1f}",
        end=" ",
    )
    assert set(crowd.statuses) == {200}
    assert late < 5
    assert watched.most < 3e9
    assert code == 0
    assert end < TIME_LIMIT + 2
    assert "Traceback" not in "".join(service.said)
