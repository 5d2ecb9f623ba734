"""decode_ahead: in order, lazy, never too far ahead, and gone when it is closed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.decode_ahead import batched, decode_ahead
from showtell.errors import ImageError

Pixels = npt.NDArray[np.uint8]
WAIT = 10.0
"""Seconds till a test gives up waiting for a thread."""


def one_pixel(number: int) -> Pixels:
    return np.full((1, 1, 3), number % 256, np.uint8)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@settings(max_examples=20)
@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 4), st.sets(st.integers(0, 39)))
def test_order_is_kept_and_errors_are_carried(count: int, ahead: int, workers: int, bad: set[int]) -> None:
    def decode(number: int) -> Pixels:
        time.sleep(number % 3 * 1e-4)  # later ones are often done first
        if number in bad:
            raise ImageError(str(number), "bad")
        return one_pixel(number)

    decoded = list(decode_ahead(range(count), decode, ahead=ahead, workers=workers))
    assert [item.source for item in decoded] == list(range(count))
    for item in decoded:
        if item.source in bad:
            assert item.pixels is None
            assert item.error is not None
            assert item.error.source == str(item.source)
        else:
            assert item.error is None
            np.testing.assert_array_equal(item.pixels, one_pixel(item.source))


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_never_more_than_ahead(ahead: int) -> None:
    begun: list[int] = []

    def decode(number: int) -> Pixels:
        begun.append(number)
        return one_pixel(number)

    stream = decode_ahead(itertools.count(), decode, ahead=ahead, workers=4)
    assert decoders() == []  # nothing begins before it is asked for
    for taken in range(1, 20):
        next(stream)
        expected = min(taken + ahead, min(4, ahead) + 2 * taken)  # few at first, then all that it may
        assert eventually(lambda count=expected: len(begun) == count)
    time.sleep(0.05)
    assert len(begun) == 19 + ahead  # and no more, however long its consumer takes
    stream.close()


def test_source_is_taken_lazily() -> None:
    taken = []

    def numbers() -> itertools.count:
        for number in itertools.count():
            taken.append(number)
            yield number

    stream = decode_ahead(numbers(), one_pixel, ahead=5)
    assert taken == []
    assert [item.source for item in itertools.islice(stream, 100)] == list(range(100))
    assert len(taken) == 105
    stream.close()


def test_decodes_at_the_same_time() -> None:
    meeting = threading.Barrier(3)

    def decode(number: int) -> Pixels:
        meeting.wait(WAIT)  # passed by three threads together only
        return one_pixel(number)

    assert len(list(decode_ahead(range(9), decode, workers=3))) == 9


def test_closing_stops_the_threads() -> None:
    begun, may_end = [], threading.Event()

    def decode(number: int) -> Pixels:
        begun.append(number)
        if number > 0:
            may_end.wait(WAIT)
        return one_pixel(number)

    stream = decode_ahead(itertools.count(), decode, ahead=50, workers=2)
    next(stream)
    assert eventually(lambda: len(begun) == 3)
    assert len(decoders()) == 2
    threading.Timer(0.05, may_end.set).start()
    stream.close()
    assert decoders() == []
    assert len(begun) <= 5  # what had begun is ended; the fifty that waited are not decoded


def test_other_errors_of_decoding_come_through_and_end_it() -> None:
    def decode(number: int) -> Pixels:
        if number == 3:
            raise ZeroDivisionError
        return one_pixel(number)

    stream = decode_ahead(itertools.count(), decode, ahead=4, workers=2)
    assert [next(stream).source for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert decoders() == []


def test_errors_of_the_source_come_through_and_end_it() -> None:
    def numbers() -> itertools.count:
        yield from range(10)
        raise ZeroDivisionError

    stream = decode_ahead(numbers(), one_pixel, ahead=2)
    with pytest.raises(ZeroDivisionError):
        list(stream)
    assert decoders() == []


@given(st.lists(st.integers()), st.integers(1, 9))
def test_batched(items: list[int], size: int) -> None:
    batches = list(batched(items, size))
    assert list(itertools.chain(*batches)) == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches)


def test_batched_is_lazy() -> None:
    assert next(batched(itertools.count(), 3)) == [0, 1, 2]
