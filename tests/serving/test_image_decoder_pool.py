"""Quick and patient decoders together."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from showtell.config import ServingConfig
from showtell.serving.image_decoder_pool import DecodeTask, ImageDecoderPool
from showtell.serving.image_decoder_process import (
    ImageDecoderProcess,
    ImageDecoderStartError,
)
from tests.serving.decoding import SLOW, WAIT
from tests.serving.hostile import png, sequential_jpeg

# ---- Quick and patient decoders together


@pytest.fixture
def make() -> Iterator[Callable[..., ImageDecoderPool]]:
    made: list[ImageDecoderPool] = []

    def call(**limits: float) -> ImageDecoderPool:
        made.append(ImageDecoderPool(64, ServingConfig(**limits)))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield call
    for one in made:
        one.close(0)


class Waiting:
    """Images that are being decoded."""

    def __init__(self, pool: ImageDecoderPool) -> None:
        self.pool, self.order = pool, list[DecodeTask]()
        self.events: dict[int, threading.Event] = {}

    def submit(self, image: bytes) -> DecodeTask:
        event = threading.Event()

        def done(task: DecodeTask) -> None:
            self.order.append(task)
            event.set()

        task = self.pool.submit(image, done)
        self.events[id(task)] = event
        return task

    def result(self, task: DecodeTask) -> DecodeTask:
        assert self.events[id(task)].wait(WAIT)
        return task


def test_ordinary_photos_pass_whatever_the_patient_decoder_does(
    make: Callable[..., ImageDecoderPool], photos: list[Path]
) -> None:
    waiting = Waiting(make(decode_seconds=60))
    slow = [waiting.submit(SLOW) for _ in range(3)]
    quick = [waiting.submit(path.read_bytes()) for path in photos]
    assert all(waiting.result(one).pixels is not None for one in quick)
    assert not any(waiting.events[id(one)].is_set() for one in slow)
    for one in slow:
        waiting.pool.cancel(one)
    for one in slow:
        assert waiting.result(one).pixels is None


def test_an_image_that_is_slower_than_its_estimate_goes_to_the_patient_decoder(
    make: Callable[..., ImageDecoderPool], photos: list[Path]
) -> None:
    waiting = Waiting(make(decode_seconds=0.3))
    hidden = waiting.submit(sequential_jpeg(1024, 5_000))
    assert hidden.estimate < 0.1
    assert "too long to decode" in str(waiting.result(hidden).error)
    assert hidden.estimate == 0.3  # it was in both
    assert waiting.result(waiting.submit(photos[0].read_bytes())).pixels is not None
    assert waiting.pool.quick_pending == 0


def test_of_slow_images_the_cheapest_is_next(make: Callable[..., ImageDecoderPool]) -> None:
    waiting = Waiting(make(decode_seconds=20))
    first = waiting.submit(SLOW)
    while first.patient_process is None:  # the others would be taken before it
        time.sleep(0.01)
    dear = waiting.submit(png(2600, 2000, depth=8))
    cheap = waiting.submit(png(2400, 2000, depth=8))
    waiting.pool.cancel(first)
    for one in (cheap, dear):
        assert waiting.result(one).pixels is not None
    assert waiting.order == [first, cheap, dear]


def test_an_image_cancelled_while_its_process_starts_is_not_decoded(
    make: Callable[..., ImageDecoderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(decode_seconds=60)
    starting, go_on = threading.Event(), threading.Event()
    prepare = ImageDecoderProcess.prepare

    def prepare_slowly(process: ImageDecoderProcess) -> None:
        if process in pool._patient.processes:
            starting.set()
            assert go_on.wait(WAIT)
        prepare(process)

    monkeypatch.setattr(ImageDecoderProcess, "prepare", prepare_slowly)
    waiting = Waiting(pool)
    slow = waiting.submit(SLOW)
    assert starting.wait(WAIT)
    pool.cancel(slow)  # there is no process to end yet
    go_on.set()
    assert waiting.result(slow).pixels is None


def test_closing_ends_in_time_whatever_is_decoded(
    make: Callable[..., ImageDecoderPool], photos: list[Path]
) -> None:
    before = set(psutil.Process(os.getpid()).children(recursive=True))
    waiting = Waiting(make(decode_seconds=60))
    slow = [waiting.submit(SLOW) for _ in range(2)]
    quick = waiting.submit(photos[0].read_bytes())
    start = time.monotonic()
    waiting.pool.close(0.5)
    assert time.monotonic() - start < 30  # decoding may take 60
    assert waiting.result(quick).pixels is not None
    assert all(waiting.result(one).pixels is None for one in slow)
    assert set(psutil.Process(os.getpid()).children(recursive=True)) <= before


def test_a_cancelled_image_keeps_no_memory_in_its_queue(make: Callable[..., ImageDecoderPool]) -> None:
    pool = make(decode_seconds=60)
    waiting = Waiting(pool)
    first, queued = waiting.submit(SLOW), waiting.submit(SLOW)
    pool.cancel(queued)
    assert queued.image == b""
    pool.cancel(first)
    assert waiting.result(queued).pixels is None


def test_decoders_are_ready_again_without_an_image(
    make: Callable[..., ImageDecoderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("showtell.serving.image_decoder_pool._RETRY_SECONDS", 0.05)
    pool = make()
    broken = threading.Event()
    broken.set()
    prepare = ImageDecoderProcess.prepare

    def fail_at_first(process: ImageDecoderProcess) -> None:
        if broken.is_set():
            raise ImageDecoderStartError("no memory")
        prepare(process)

    monkeypatch.setattr(ImageDecoderProcess, "prepare", fail_at_first)
    waiting = Waiting(pool)
    waiting.result(waiting.submit(png(8, 8)))  # after it each quick decoder looks whether it is ready
    until = time.monotonic() + WAIT
    while pool.works and time.monotonic() < until:
        time.sleep(0.01)
    assert not pool.works
    broken.clear()
    while not pool.works and time.monotonic() < until:
        time.sleep(0.01)
    assert pool.works
