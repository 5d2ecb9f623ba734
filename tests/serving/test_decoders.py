"""Decoder processes: the same pixels as in this process, limits that hold, and what comes after them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from showtell.config import ServingConfig
from showtell.data.decoder_worker import Outcome, WorkerSettings
from showtell.data.transforms import ImageTransform
from showtell.errors import ImageError
from showtell.serving import decoder_process
from showtell.serving.decoder_process import (
    DecoderProcess,
    DecoderStartError,
    DecoderStoppedError,
    TooCostlyError,
)
from showtell.serving.decoders import Decoders, Decoding
from tests.serving.hostile import png, progressive_jpeg, sequential_jpeg

SLOW = progressive_jpeg(4096, 20_000)  # minutes
WAIT = 20.0
SETTINGS = WorkerSettings(size=64, max_pixels=50_000_000, memory=400 * 2**20, niceness=0)


@pytest.fixture(scope="module")
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess(SETTINGS)
    yield process
    process.close()


def test_pixels_are_those_of_this_process(process: DecoderProcess, photos: list[Path]) -> None:
    for path in photos:
        pixels = process.decode(path.read_bytes(), 5, 20)
        np.testing.assert_array_equal(pixels, ImageTransform(64).pixels(path))
        assert pixels.flags.writeable  # as PyTorch wants them


def test_errors_are_those_of_this_process(process: DecoderProcess, photos: list[Path]) -> None:
    for image in (b"", b"nothing", photos[0].read_bytes()[:999], png(8000, 8000, depth=8, colours=0)):
        with pytest.raises(ImageError) as expected:
            ImageTransform(64).pixels(image, max_pixels=SETTINGS.max_pixels)
        with pytest.raises(ImageError) as caught:
            process.decode(image, 5, 20)
        assert caught.value.reason == expected.value.reason


def test_limits_of_time_and_memory_end_one_image_only(process: DecoderProcess, photos: list[Path]) -> None:
    for image, cpu_seconds, seconds, outcome in (
        (SLOW, 0.1, 20.0, Outcome.TOO_SLOW),
        (SLOW, 20.0, 0.2, Outcome.TOO_SLOW),
        (png(6900, 6900, depth=8), 20.0, 20.0, Outcome.TOO_LARGE),
    ):
        with pytest.raises(TooCostlyError) as caught:
            process.decode(image, cpu_seconds, seconds)
        assert caught.value.outcome == outcome
        assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


def test_a_crash_in_a_library_ends_one_image_only(process: DecoderProcess, photos: list[Path]) -> None:
    (child,) = children(process)
    timer = threading.Timer(0.2, child.send_signal, (signal.SIGSEGV,))
    timer.start()
    with pytest.raises(TooCostlyError) as caught:
        process.decode(SLOW, 10, 20)
    assert caught.value.outcome == Outcome.CRASHED
    assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_ended_while_idle_is_started_again(
    process: DecoderProcess, photos: list[Path], number: int
) -> None:
    process.prepare()
    (child,) = children(process)
    child.send_signal(number)
    assert process._process is not None
    process._process.wait(WAIT)
    assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


def test_killing_ends_what_it_decodes_and_the_next_image_has_a_new_process(
    process: DecoderProcess, photos: list[Path]
) -> None:
    process.prepare()
    threading.Timer(0.2, process.kill).start()
    with pytest.raises(DecoderStoppedError):
        process.decode(SLOW, 10, 20)
    process.prepare()
    process.kill()  # while it has nothing to do
    assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


def children(process: DecoderProcess) -> list[psutil.Process]:
    process.prepare()
    assert process._process is not None
    until = time.monotonic() + WAIT
    while not (found := psutil.Process(process._process.pid).children()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def test_signals_and_secrets_of_the_service_are_not_passed_on(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOWTELL_TOKEN", "secret")
    process = DecoderProcess(SETTINGS)
    try:
        (child,) = children(process)
        assert "SHOWTELL_TOKEN" not in child.environ()
        for number in (signal.SIGINT, signal.SIGTERM):  # as a terminal or systemd sends them to all
            for one in (child, child.parent()):
                assert one is not None
                one.send_signal(number)
        assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)
        assert child.is_running()
    finally:
        process.close()
    assert not child.is_running()


def test_a_process_that_cannot_be_started_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "_BOOT", "raise SystemExit(3)")
    with pytest.raises(DecoderStartError, match="cannot be started \\(exit code 3\\)"):
        DecoderProcess(SETTINGS).decode(b"x", 1, 1)
    decoders = Decoders(64, ServingConfig())
    with pytest.raises(DecoderStartError):
        decoders.start()
    assert not decoders.works
    decoders.close(0)


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


def test_an_image_that_is_slower_than_its_header_tells_is_decoded_patiently(
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
    assert time.monotonic() - start < 5
    assert waiting.result(quick).pixels is not None
    assert all(waiting.result(one).pixels is None for one in slow)
    assert set(psutil.Process(os.getpid()).children(recursive=True)) <= before
