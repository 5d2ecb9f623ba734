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
from showtell.serving.decoder_process import (
    DecoderProcess,
    DecoderStartError,
)
from showtell.serving.decoders import Decoders, Decoding
from tests.serving.decoding import SLOW, WAIT
from tests.serving.hostile import png, sequential_jpeg

# ---- Quick and patient decoders together


@pytest.fixture
def make() -> Iterator[Callable[..., Decoders]]:
    made: list[Decoders] = []

    def call(**limits: float) -> Decoders:
        made.append(Decoders(64, ServingConfig(**limits)))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield call
    for one in made:
        one.close(0)


class Waiting:
    """Images that are being decoded."""

    def __init__(self, decoders: Decoders) -> None:
        self.decoders, self.order = decoders, list[Decoding]()
        self.events: dict[int, threading.Event] = {}

    def submit(self, image: bytes) -> Decoding:
        event = threading.Event()

        def done(decoding: Decoding) -> None:
            self.order.append(decoding)
            event.set()

        decoding = self.decoders.submit(image, done)
        self.events[id(decoding)] = event
        return decoding

    def result(self, decoding: Decoding) -> Decoding:
        assert self.events[id(decoding)].wait(WAIT)
        return decoding


def test_ordinary_photos_pass_whatever_the_patient_decoder_does(
    make: Callable[..., Decoders], photos: list[Path]
) -> None:
    waiting = Waiting(make(decode_seconds=60))
    slow = [waiting.submit(SLOW) for _ in range(3)]
    quick = [waiting.submit(path.read_bytes()) for path in photos]
    assert all(waiting.result(one).pixels is not None for one in quick)
    assert not any(waiting.events[id(one)].is_set() for one in slow)
    for one in slow:
        waiting.decoders.cancel(one)
    for one in slow:
        assert waiting.result(one).pixels is None


def test_an_image_that_is_slower_than_its_estimate_goes_to_the_patient_decoder(
    make: Callable[..., Decoders], photos: list[Path]
) -> None:
    waiting = Waiting(make(decode_seconds=0.3))
    hidden = waiting.submit(sequential_jpeg(1024, 5_000))
    assert hidden.estimate < 0.1
    assert "too long to decode" in str(waiting.result(hidden).error)
    assert hidden.estimate == 0.3  # it was in both
    assert waiting.result(waiting.submit(photos[0].read_bytes())).pixels is not None
    assert waiting.decoders.quick_pending == 0


def test_of_slow_images_the_cheapest_is_next(make: Callable[..., Decoders]) -> None:
    waiting = Waiting(make(decode_seconds=20))
    first = waiting.submit(SLOW)
    while first.patient_process is None:  # the others would be taken before it
        time.sleep(0.01)
    dear = waiting.submit(png(2600, 2000, depth=8))
    cheap = waiting.submit(png(2400, 2000, depth=8))
    waiting.decoders.cancel(first)
    for one in (cheap, dear):
        assert waiting.result(one).pixels is not None
    assert waiting.order == [first, cheap, dear]


def test_an_image_cancelled_while_its_process_starts_is_not_decoded(
    make: Callable[..., Decoders], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders = make(decode_seconds=60)
    starting, go_on = threading.Event(), threading.Event()
    prepare = DecoderProcess.prepare

    def prepare_slowly(process: DecoderProcess) -> None:
        if process in decoders._patient.processes:
            starting.set()
            assert go_on.wait(WAIT)
        prepare(process)

    monkeypatch.setattr(DecoderProcess, "prepare", prepare_slowly)
    waiting = Waiting(decoders)
    slow = waiting.submit(SLOW)
    assert starting.wait(WAIT)
    decoders.cancel(slow)  # there is no process to end yet
    go_on.set()
    assert waiting.result(slow).pixels is None


def test_closing_ends_in_time_whatever_is_decoded(make: Callable[..., Decoders], photos: list[Path]) -> None:
    before = set(psutil.Process(os.getpid()).children(recursive=True))
    waiting = Waiting(make(decode_seconds=60))
    slow = [waiting.submit(SLOW) for _ in range(2)]
    quick = waiting.submit(photos[0].read_bytes())
    start = time.monotonic()
    waiting.decoders.close(0.5)
    assert time.monotonic() - start < 30  # decoding may take 60
    assert waiting.result(quick).pixels is not None
    assert all(waiting.result(one).pixels is None for one in slow)
    assert set(psutil.Process(os.getpid()).children(recursive=True)) <= before


def test_a_cancelled_image_keeps_no_memory_in_its_queue(make: Callable[..., Decoders]) -> None:
    decoders = make(decode_seconds=60)
    waiting = Waiting(decoders)
    first, queued = waiting.submit(SLOW), waiting.submit(SLOW)
    decoders.cancel(queued)
    assert queued.image == b""
    decoders.cancel(first)
    assert waiting.result(queued).pixels is None


def test_decoders_are_ready_again_without_an_image(
    make: Callable[..., Decoders], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("showtell.serving.decoders._RETRY_SECONDS", 0.05)
    decoders = make()
    broken = threading.Event()
    broken.set()
    prepare = DecoderProcess.prepare

    def fail_at_first(process: DecoderProcess) -> None:
        if broken.is_set():
            raise DecoderStartError("no memory")
        prepare(process)

    monkeypatch.setattr(DecoderProcess, "prepare", fail_at_first)
    waiting = Waiting(decoders)
    waiting.result(waiting.submit(png(8, 8)))  # after it each quick decoder looks whether it is ready
    until = time.monotonic() + WAIT
    while decoders.works and time.monotonic() < until:
        time.sleep(0.01)
    assert not decoders.works
    broken.clear()
    while not decoders.works and time.monotonic() < until:
        time.sleep(0.01)
    assert decoders.works
