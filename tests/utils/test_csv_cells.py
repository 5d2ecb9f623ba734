"""Names of files in CSV cells: never a formula, always a name of the same file."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.utils.csv_cells import FORMULA, name_cell


@pytest.mark.parametrize("start", FORMULA)
def test_a_name_that_begins_like_a_formula_gets_a_folder(start: str) -> None:
    assert name_cell(f"{start}1.jpg") == f"./{start}1.jpg"


@settings(max_examples=40)
@given(st.text(st.sampled_from(["=", "+", "-", "@", "\t", "\r", "a", "/", "."]), max_size=6))
def test_a_cell_is_no_formula_and_names_the_same_file(name: str) -> None:
    cell = name_cell(name)
    assert not cell.startswith(FORMULA)
    assert PurePosixPath(cell) == PurePosixPath(name)
