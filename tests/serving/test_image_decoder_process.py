"""A decoder process: the same pixels as in this process, and limits that hold."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from showtell.config import ServingConfig
from showtell.data.image_decoder_worker import Outcome
from showtell.data.transforms import ImageTransform
from showtell.errors import ImageError
from showtell.serving import image_decoder_process
from showtell.serving.image_decoder_pool import ImageDecoderPool
from showtell.serving.image_decoder_process import (
    DecodeLimitError,
    ImageDecoderProcess,
    ImageDecoderStartError,
    ImageDecoderStoppedError,
)
from tests.serving.decoding import SETTINGS, SLOW, WAIT
from tests.serving.hostile import png


@pytest.fixture(scope="module")
def process() -> Iterator[ImageDecoderProcess]:
    process = ImageDecoderProcess(SETTINGS)
    yield process
    process.close()


def test_pixels_are_those_of_this_process(process: ImageDecoderProcess, photos: list[Path]) -> None:
    for path in photos:
        pixels = process.decode(path.read_bytes(), 5, 20)
        np.testing.assert_array_equal(pixels, ImageTransform(64).pixels(path))
        assert pixels.flags.writeable  # as PyTorch wants them


def test_errors_are_those_of_this_process(process: ImageDecoderProcess, photos: list[Path]) -> None:
    for image in (b"", b"nothing", photos[0].read_bytes()[:999], png(8000, 8000, depth=8, colours=0)):
        with pytest.raises(ImageError) as expected:
            ImageTransform(64).pixels(image, max_pixels=SETTINGS.max_pixels)
        with pytest.raises(ImageError) as caught:
            process.decode(image, 5, 20)
        assert caught.value.reason == expected.value.reason


def test_limits_of_time_and_memory_end_one_image_only(
    process: ImageDecoderProcess, photos: list[Path]
) -> None:
    for image, cpu_seconds, seconds, outcome in (
        (SLOW, 0.1, 20.0, Outcome.TOO_SLOW),
        (SLOW, 20.0, 0.2, Outcome.TOO_SLOW),
        (png(6900, 6900, depth=8), 20.0, 20.0, Outcome.TOO_LARGE),
    ):
        with pytest.raises(DecodeLimitError) as caught:
            process.decode(image, cpu_seconds, seconds)
        assert caught.value.outcome == outcome
        assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


def test_a_crash_in_a_library_ends_one_image_only(process: ImageDecoderProcess, photos: list[Path]) -> None:
    (child,) = children(process)
    threading.Timer(0.2, child.send_signal, (signal.SIGSEGV,)).start()
    with pytest.raises(DecodeLimitError) as caught:
        process.decode(SLOW, 10, 20)
    assert caught.value.outcome == Outcome.CRASHED
    assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_ended_while_idle_is_started_again(
    process: ImageDecoderProcess, photos: list[Path], number: int
) -> None:
    process.prepare()
    (child,) = children(process)
    child.send_signal(number)
    assert process._process is not None
    process._process.wait(WAIT)
    assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


def test_killing_ends_what_it_decodes_and_the_next_image_has_a_new_process(
    process: ImageDecoderProcess, photos: list[Path]
) -> None:
    process.prepare()
    threading.Timer(0.2, process.kill).start()
    with pytest.raises(ImageDecoderStoppedError):
        process.decode(SLOW, 10, 20)
    process.prepare()
    process.kill()  # while it has nothing to do
    assert process.decode(photos[0].read_bytes(), 5, 20).shape == (64, 64, 3)


def children(process: ImageDecoderProcess) -> list[psutil.Process]:
    process.prepare()
    assert process._process is not None
    until = time.monotonic() + WAIT
    while not (workers := psutil.Process(process._process.pid).children()) and time.monotonic() < until:
        time.sleep(0.01)
    return workers


def test_signals_and_secrets_of_the_service_are_not_passed_on(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOWTELL_TOKEN", "secret")
    process = ImageDecoderProcess(SETTINGS)
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
    monkeypatch.setattr(image_decoder_process, "_BOOT", "raise SystemExit(3)")
    with pytest.raises(ImageDecoderStartError, match="cannot be started \\(exit code 3\\)"):
        ImageDecoderProcess(SETTINGS).decode(b"x", 1, 1)
    pool = ImageDecoderPool(64, ServingConfig())
    with pytest.raises(ImageDecoderStartError):
        pool.start()
    assert not pool.works
    pool.close(0)
