"""Results as tables."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from showtell.errors import UsageError
from showtell.utils.tables import data_frame, text_table


def test_columns_are_aligned() -> None:
    rows = [("a cat", "1.5", "x"), ("dog", "10.25", "yy")]
    assert text_table(("name", "score", "n"), rows, left=(0, 2)) == (
        "name   score  n\na cat    1.5  x\ndog    10.25  yy"
    )
    assert text_table(("name", "score"), [("dog", "1")]) == "name  score\ndog       1"
    assert text_table(("name", "score"), []) == "name  score"


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        text_table(("a", "b"), [("1",)])


def test_a_value_that_a_row_lacks_is_not_a_number() -> None:
    frame = data_frame([{"a": 1, "b": 2.0}, {"a": 3}])
    assert list(frame.columns) == ["a", "b"]
    assert frame["a"].tolist() == [1, 3]
    assert np.isnan(frame["b"][1])


def test_without_pandas_there_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install pandas, or take to_dict\(\)"):
        data_frame([])
