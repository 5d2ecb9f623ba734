"""The program of a decoder process, over its pipes: requests, replies, limits, and its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from showtell.data.image_decoder_worker import REPLY, REQUEST, Outcome, WorkerSettings
from showtell.data.transforms import ImageTransform
from tests.serving.hostile import png, progressive_jpeg

SETTINGS = WorkerSettings(size=48, max_pixels=50_000_000, memory=300 * 2**20, niceness=1)
SLOW = progressive_jpeg(2048, 20_000)  # minutes

Worker = subprocess.Popen[bytes]
Reply = tuple[int, Outcome, bytes, tuple[int, int]]


def receive(worker: Worker) -> Reply:
    assert worker.stdout is not None
    number, outcome, length, height, width = REPLY.unpack(worker.stdout.read(REPLY.size))
    return number, Outcome(outcome), worker.stdout.read(length), (height, width)


def ask(worker: Worker, number: int, image: bytes, cpu_seconds: float = 10.0) -> Reply:
    assert worker.stdin is not None
    worker.stdin.write(REQUEST.pack(number, len(image), cpu_seconds, 60.0) + image)
    worker.stdin.flush()
    return receive(worker)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    code = (
        "import sys; from showtell.data.image_decoder_worker import main; main(sys.argv[1]);"
        " sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, SETTINGS.to_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert receive(process) == (0, Outcome.READY, b"", (0, 0))
        yield process
        process.stdin.close()  # type: ignore[union-attr]
        assert process.wait(20) == 0, "it ends with its requests, and has not imported PyTorch"


def test_pixels_are_those_of_this_process(worker: Worker, snippets: list[Path]) -> None:
    for number, path in enumerate(snippets[:3], start=1):
        replied, outcome, payload, shape = ask(worker, number, path.read_bytes())
        expected = ImageTransform(48).pixels(path)
        assert (replied, outcome, shape) == (number, Outcome.PIXELS, expected.shape[:2])
        np.testing.assert_array_equal(np.frombuffer(payload, np.uint8).reshape(*shape, 3), expected)


@pytest.mark.parametrize(
    ("image", "outcome", "reason"),
    [
        (b"", Outcome.UNREADABLE, b"the file is empty"),
        (b"no image", Outcome.UNREADABLE, b"not an image of a known format"),
        (png(8000, 8000, depth=8, colours=0), Outcome.UNREADABLE, b"too large: 8000 x 8000 is more than"),
        (png(6900, 6900, depth=8), Outcome.TOO_LARGE, b""),  # 190 MB, and a copy of it
    ],
    ids=["empty", "text", "pixels", "memory"],
)
def test_images_that_cannot_be_decoded(worker: Worker, image: bytes, outcome: Outcome, reason: bytes) -> None:
    replied, got, payload, shape = ask(worker, 7, image)
    assert (replied, got, shape) == (7, outcome, (0, 0))
    assert payload.startswith(reason)


@pytest.mark.skipif(sys.platform == "win32", reason="has no interval timers")
def test_a_slow_image_is_ended_and_the_next_is_decoded(worker: Worker, snippets: list[Path]) -> None:
    assert ask(worker, 8, SLOW, cpu_seconds=0.05) == (8, Outcome.TOO_SLOW, b"", (0, 0))
    assert ask(worker, 9, snippets[0].read_bytes())[1] == Outcome.PIXELS
