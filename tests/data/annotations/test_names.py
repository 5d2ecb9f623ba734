"""Names that look the same to a person, and those that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.annotations.names import forward_slashes, is_absolute, look_alike, name_key, number_alike


@given(st.integers(0, 10**15), st.integers(0, 6))
def test_numbers_are_alike_however_written(number: int, zeros: int) -> None:
    assert number_alike("0" * zeros + str(number)) == number_alike(f" {number}.0 ") == str(number)


@pytest.mark.parametrize(("one", "other"), [("42", "43"), ("42", "42.5"), ("42", "a42"), ("a.0", "a")])
def test_other_ids_stay_apart(one: str, other: str) -> None:
    assert number_alike(one) != number_alike(other)


def test_ids_that_are_no_numbers_are_composed() -> None:
    assert number_alike("cafe\u0301") == "caf\u00e9"


@pytest.mark.parametrize(
    ("name", "plain"),
    [("a\\b.jpg", "a/b.jpg"), (".\\a.jpg", "a.jpg"), ("././/a", "a"), ("..\\a", "../a"), ("a./b", "a./b")],
)
def test_forward_slashes(name: str, plain: str) -> None:
    assert forward_slashes(name) == plain


@pytest.mark.parametrize(
    ("name", "absolute"), [("/a", True), ("C:/a", True), ("c:a", False), ("a/b", False), ("", False)]
)
def test_absolute_paths_of_any_system(name: str, absolute: bool) -> None:
    assert is_absolute(name) is absolute


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("a.JPG", "a.jpg", True),
        ("A.jpg", "a.jpg", False),  # two files where names have cases
        ("e\u0301.png", "\u00e9.PNG", True),
        ("a.b.PNG", "a.b.png", True),
        ("a.B.png", "a.b.png", False),
        ("README", "readme", False),
    ],
)
def test_file_names_that_look_alike(one: str, other: str, alike: bool) -> None:
    assert (look_alike(one) == look_alike(other)) is alike


def test_paths_that_look_alike() -> None:
    assert name_key(" .\\site\\cafe\u0301.JPG ") == name_key("site/caf\u00e9.jpg") == "site/caf\u00e9.jpg"
