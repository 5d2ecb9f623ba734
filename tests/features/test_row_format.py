"""RowFormat: what was packed comes out, to within half a level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from showtell.config import FeatureType
from showtell.features.row_format import RowFormat

FEATURES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
)


@given(FEATURES)
def test_float16_rows_are_the_features_rounded(features: npt.NDArray[np.float32]) -> None:
    form = RowFormat("float16", *features.shape[1:])
    rows = form.records(form.pack(features))
    assert rows.tobytes() == features.astype("<f2").tobytes()
    for row, expected in zip(rows, features, strict=True):
        unpacked = form.unpack(row)
        assert unpacked.dtype == np.float16
        np.testing.assert_array_equal(unpacked, expected.astype(np.float16))


@given(FEATURES)
def test_no_int8_feature_is_off_by_more_than_half_a_step(features: npt.NDArray[np.float32]) -> None:
    form = RowFormat("int8", *features.shape[1:])
    rows = np.frombuffer(form.pack(features).numpy().tobytes(), form.record)  # as from a file
    assert len(rows) == len(features)
    for row, expected in zip(rows, features.astype(np.float64), strict=True):
        half = (expected.max(axis=1, keepdims=True) - expected.min(axis=1, keepdims=True)) / 255 / 2
        error = np.abs(form.unpack(row).astype(np.float64) - expected)
        rounding = np.abs(expected) * 2**-10 + 1e-6  # of fp16, and of fp32 before it
        assert np.all(error <= half * 1.001 + rounding)


def test_a_row_of_int8_is_half_as_large() -> None:
    full, half = (RowFormat(kind, 49, 2048).record.itemsize for kind in ("float16", "int8"))
    assert full == 49 * 2048 * 2
    assert half == pytest.approx(full / 2, rel=0.01)


def test_a_row_of_float16_is_not_copied() -> None:
    form = RowFormat("float16", 2, 3)
    rows = form.records(form.pack(np.ones((2, 2, 3), np.float32)))
    assert np.shares_memory(form.unpack(rows[1]), rows)


def test_features_of_a_relu_keep_their_zeros() -> None:
    form = RowFormat("int8", 1, 4)
    (row,) = form.records(form.pack(np.array([[[0, 0.7, 0, 3.1]]], np.float32)))
    assert form.unpack(row)[0, [0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65_504, -65_504, 0])
def test_rows_that_are_not_finite(kind: FeatureType, value: float) -> None:
    features = np.ones((3, 2, 4), np.float32)
    features[1, 1, 2] = value
    form = RowFormat(kind, 2, 4)
    expected = [True, bool(np.isfinite(value)), True]
    assert form.finite(form.records(form.pack(features))).tolist() == expected


def test_no_rows_are_finite() -> None:
    form = RowFormat("float16", 2, 4)
    assert form.finite(form.records(form.pack(np.ones((0, 2, 4), np.float32)))).tolist() == []
