"""Many ranges at once, against `range`."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.ranges import concatenate_ranges

RANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8)


@given(RANGES)
def test_ranges_follow_one_another(ranges: list[tuple[int, int]]) -> None:
    begin = np.array([first for first, _ in ranges], np.int64)
    end = begin + np.array([size for _, size in ranges], np.int64)
    expected = [number for first, size in ranges for number in range(first, first + size)]
    assert concatenate_ranges(begin, end).tolist() == expected
