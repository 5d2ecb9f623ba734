"""Attention maps in bytes: 255 is the strongest cell, unless the attention is nearly uniform."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.web.heat import attention_bytes


def test_the_strongest_cell_is_full_and_the_others_in_proportion() -> None:
    attention = np.array([[[0.8, 0.2], [0.0, 0.0]]], np.float32)
    assert list(attention_bytes(attention)) == [255, 64, 0, 0]


def test_uniform_attention_is_a_third_of_full() -> None:
    assert list(attention_bytes(np.full((2, 3, 4), 1 / 12, np.float32))) == [85] * 24


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_each_word_is_scaled_alone(seed: int, words: int, rows: int, columns: int) -> None:
    attention = np.random.default_rng(seed).dirichlet(np.full(rows * columns, 0.3), words).astype(np.float32)
    maps = np.frombuffer(attention_bytes(attention.reshape(words, rows, columns)), np.uint8)
    for word, heat in zip(attention, maps.reshape(words, -1), strict=True):
        full = max(word.max(), 3 / len(word))
        assert abs(int(heat.max()) - 255 * word.max() / full) <= 0.5001
        assert np.all(np.diff(heat[np.argsort(word, kind="stable")].astype(int)) >= 0)
