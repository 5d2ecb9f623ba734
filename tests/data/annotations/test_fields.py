"""Reading the fields of entries: values of the right type, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.fields import (
    IMAGE_FIELDS,
    field,
    first_field,
    id_field,
    list_field,
    missing_fields,
    split_field,
    text_field,
)
from showtell.errors import AnnotationError


def test_the_surest_field_counts() -> None:
    assert first_field(["path", "caption", "file_name"], IMAGE_FIELDS) == "file_name"
    assert first_field(["photo"], IMAGE_FIELDS) is None


@pytest.mark.parametrize(
    ("value", "name"), [(42, "42"), (42.0, "42"), ("x1", "x1"), ("042", "042"), (0, "0"), (-1, "-1")]
)
def test_ids_are_numbers_or_names(value: object, name: str) -> None:
    assert id_field({"id": value}, "id") == name


@pytest.mark.parametrize("value", [None, True, "", 1.5, float("nan"), float("inf"), [1], {"a": 1}])
def test_other_ids_are_refused(value: object) -> None:
    with pytest.raises(EntryError, match="wrong fields: 'id' is not a number or name but"):
        id_field({"id": value}, "id")


@pytest.mark.parametrize("value", [None, 3, " \n", ["a"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    assert text_field({"name": " a "}, "name") == " a "
    with pytest.raises(EntryError, match="wrong fields: 'name' is not text but"):
        text_field({"name": value}, "name")


def test_a_field_may_hold_anything_but_has_to_be_there() -> None:
    assert field({"x": None}, "x") is None
    with pytest.raises(EntryError, match="'x' is missing"):
        field({}, "x")
    with pytest.raises(EntryError, match=r"'x' is missing among y, z$"):
        field({"y": 1, "z": 2}, "x")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["image", "text"], ""),
        (["text"], "no image (or file)"),
        (["file"], "no text (or a, b, c, d, ...)"),
        ([], "no image (or file) and no text (or a, b, c, d, ...)"),
    ],
)
def test_missing_fields_are_named_with_what_is_understood(names: list[str], message: str) -> None:
    assert missing_fields(names, ("image", "file"), ("text", *"abcde")) == message
    assert missing_fields(names, ("x",)) == "no x"
    with pytest.raises(EntryError, match="the entry is not an object but list"):
        field(["x"], "x")


@pytest.mark.parametrize(
    ("value", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("restval", "train"),
        (" VAL ", "val"),
        ("dev", "val"),
        ("validation", "val"),
        ("testing", "test"),
        ("", None),
        (None, None),
    ],
)
def test_splits_by_all_of_their_names(value: object, split: str | None) -> None:
    assert split_field({"split": value}) == split


@pytest.mark.parametrize("value", ["holdout", " ", 1, False, ["train"]])
def test_an_unknown_split_is_refused(value: object) -> None:
    with pytest.raises(EntryError, match="unknown split"):
        split_field({"split": value})


def test_without_the_field_there_is_no_split() -> None:
    assert split_field({}) is split_field("text") is None
    assert split_field({"set_name": "test"}, "set_name") == "test"


@pytest.mark.parametrize("content", [{}, {"images": {}}, [], None, "images"])
def test_a_list_at_the_top_of_a_file(content: object) -> None:
    assert list_field({"images": [1]}, "images", Path("a.json")) == [1]
    with pytest.raises(AnnotationError, match=r"^a\.json: wrong fields: no list 'images' at the top; check"):
        list_field(content, "images", Path("a.json"))
