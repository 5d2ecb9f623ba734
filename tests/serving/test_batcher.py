"""Batches of many callers: the same captions as alone, within the queue's limit, and an orderly end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig, ServingConfig
from showtell.errors import ImageError
from showtell.serving.batcher import Batcher, BatcherBusyError
from tests.serving.conftest import Gate

SETTINGS = (SearchConfig(), SearchConfig(beam_size=1), SearchConfig(beam_size=4, num_captions=2))
WAIT = 60


@pytest.fixture
def make(captioner: Captioner) -> Iterator[Callable[..., Batcher]]:
    made: list[Batcher] = []

    def call(**limits: object) -> Batcher:
        made.append(Batcher(captioner, ServingConfig(**limits)))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield call
    for batcher in made:
        batcher.close()


@pytest.fixture
def images(snippets: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in snippets]


def test_captions_are_those_of_each_image_alone(
    make: Callable[..., Batcher], captioner: Captioner, images: list[bytes]
) -> None:
    asked = [(image, SETTINGS[i % 3], i % 2 == 0) for i, image in enumerate(images[:18])]
    alone = [captioner.caption([image], config)[0] for image, config, _ in asked]
    batcher = make(batch_size=16)

    def submit(one: tuple[bytes, SearchConfig, bool]) -> object:
        image, config, attention = one
        return batcher.submit([image], config, attention=attention)[0].result(WAIT)

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(submit, asked))
    assert [[c.text for c in answer.captions] for answer in answers] == [  # type: ignore[attr-defined]
        [caption.text for caption in captions] for captions in alone
    ]
    for answer, (_, _, attention) in zip(answers, asked, strict=True):
        assert not attention or answer.captions[0].attention is not None  # type: ignore[attr-defined]


def test_what_waits_goes_together_up_to_the_batch_size(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher = make(batch_size=4, max_wait=1.0)
    held = gate()
    first = batcher.submit(images[:1], SETTINGS[0])
    assert held.reached.wait(WAIT)
    rest = batcher.submit(images[1:10], SETTINGS[0])
    while batcher._decoder_pool.quick_pending:
        time.sleep(0.01)
    held.open()
    assert {len(future.result(WAIT).captions) for future in first + rest} == {1}
    assert held.batches == [1, 4, 4, 1]


def test_a_lone_image_does_not_wait(make: Callable[..., Batcher], images: list[bytes]) -> None:
    answer = make(max_wait=15.0).submit(images[:1], SETTINGS[0])[0].result(10)
    assert answer.batch_size == 1


def test_a_full_queue_refuses_all_of_a_request_and_has_room_again(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher = make(queue_length=4, max_images=4)
    held = gate()
    taken = batcher.submit(images[:3], SETTINGS[0])
    with pytest.raises(BatcherBusyError) as caught:
        batcher.submit(images[3:5], SETTINGS[0])
    assert caught.value.retry_after > 0
    assert batcher.pending == 3
    taken += batcher.submit(images[3:4], SETTINGS[0])
    held.open()
    for future in taken:
        future.result(WAIT)
    assert batcher.pending == 0
    assert len(batcher.submit(images[:4], SETTINGS[0])) == 4


def test_cancelled_images_are_not_computed_and_make_room(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher = make()
    held = gate()
    first = batcher.submit(images[:1], SETTINGS[0])
    assert held.reached.wait(WAIT)
    dropped = batcher.submit(images[1:4], SETTINGS[0])
    assert all(future.cancel() for future in dropped)
    last = batcher.submit(images[4:5], SETTINGS[0])
    held.open()
    first[0].result(WAIT)
    last[0].result(WAIT)
    with pytest.raises(CancelledError):
        dropped[0].result(WAIT)
    assert sum(held.batches) == 2
    assert batcher.pending == 0


def test_a_broken_image_fails_alone(make: Callable[..., Batcher], images: list[bytes]) -> None:
    good, broken, huge = make(max_pixels=6400).submit([images[0], images[1][:300], _wide()], SETTINGS[0])
    assert good.result(WAIT).captions
    with pytest.raises(ImageError, match="damaged or truncated"):
        broken.result(WAIT)
    with pytest.raises(ImageError, match="too large: 81 x 80 is more than 6400 pixels"):
        huge.result(WAIT)


def _wide() -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (81, 80)).save(stream, "PNG")
    return stream.getvalue()


def test_an_image_that_fails_the_model_takes_no_other_down(
    make: Callable[..., Batcher],
    captioner: Captioner,
    images: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batcher = make(max_wait=1.0)
    poison = captioner.transform.pixels(images[2])
    encode = captioner.encoder.encode_pixels

    def picky(pixels):  # type: ignore[no-untyped-def]
        if any((one == poison).all() for one in pixels if one.shape == poison.shape):
            raise RuntimeError("out of memory")
        return encode(pixels)

    monkeypatch.setattr(captioner.encoder, "encode_pixels", picky)
    futures = batcher.submit(images[:5], SETTINGS[0])
    with pytest.raises(RuntimeError, match="out of memory"):
        futures[2].result(WAIT)
    for place in (0, 1, 3, 4):
        assert futures[place].result(WAIT).captions
    assert batcher.alive
    assert batcher.pending == 0


def test_closing_finishes_what_was_taken_and_takes_no_more(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher = make(batch_size=2)
    held = gate()
    taken = batcher.submit(images[:7], SETTINGS[0])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while batcher.alive:
        pass
    with pytest.raises(BatcherBusyError, match="shutting down"):
        batcher.submit(images[:1], SETTINGS[0])
    held.open()
    closing.join(WAIT)
    assert not closing.is_alive()
    assert all(future.result(0).captions for future in taken)


def test_dropping_cancels_what_is_not_yet_computed(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher, held = make(), gate()
    first = batcher.submit(images[:1], SETTINGS[0])
    assert held.reached.wait(WAIT)
    rest = batcher.submit(images[1:4], SETTINGS[0])
    batcher.drop()
    held.open()
    assert first[0].result(WAIT).captions
    for future in rest:
        with pytest.raises(CancelledError):
            future.result(WAIT)
    assert batcher.submit(images[:1], SETTINGS[0])[0].result(WAIT).captions


def test_it_is_not_ready_when_the_queue_is_full(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher, held = make(queue_length=4, max_images=4), gate()
    assert batcher.ready
    futures = batcher.submit(images[:3], SETTINGS[0])
    assert held.reached.wait(WAIT)
    assert batcher.ready
    futures += batcher.submit(images[3:4], SETTINGS[0])
    assert not batcher.ready  # full
    held.open()
    for future in futures:
        future.result(WAIT)
    assert batcher.ready


def test_it_is_not_ready_while_ordinary_images_are_not_captioned(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher, held = make(time_limit=0.3), gate()
    futures = batcher.submit(images[:1], SETTINGS[0])
    assert held.reached.wait(WAIT)
    futures += batcher.submit(images[1:2], SETTINGS[0])
    until = time.monotonic() + WAIT
    while batcher.ready and time.monotonic() < until:
        time.sleep(0.01)
    assert not batcher.ready
    assert batcher.alive
    held.open()
    for future in futures:
        future.result(WAIT)
    assert batcher.ready


def test_closing_does_not_wait_for_a_model_that_hangs(
    make: Callable[..., Batcher], gate: Callable[[], Gate], images: list[bytes]
) -> None:
    batcher, held = make(), gate()
    (future,) = batcher.submit(images[:1], SETTINGS[0])
    assert held.reached.wait(WAIT)
    assert not batcher.close(0.1)
    held.open()
    assert batcher.close()
    assert future.result(0).captions
