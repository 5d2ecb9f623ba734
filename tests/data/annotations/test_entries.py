"""Entries that cannot be used: refused with the fix, or dropped and counted."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.annotations.entries import (
    FIXES,
    Entries,
    EntryError,
    Reason,
    Skipped,
    caption_text,
    first_of_each,
    utf8_text,
)
from showtell.errors import AnnotationError


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_comes_with_its_fix(reason: Reason) -> None:
    entries = Entries(skip_bad=False)
    with pytest.raises(AnnotationError) as caught, entries.entry("a.csv: line 3"):
        raise EntryError(reason, "'x'")
    assert str(caught.value) == (
        f"a.csv: line 3: {reason}: 'x'; {FIXES[reason]}, or drop and count such entries with --skip-bad"
    )


def test_bad_entries_are_dropped_and_counted() -> None:
    entries, used = Entries(skip_bad=True), []
    for number in range(4):
        with entries.entry(f"line {number}"):
            if number % 2:
                raise EntryError("empty caption", "''")
            used.append(number)
    assert used == [0, 2]
    assert entries.skipped == [Skipped("line 1", "empty caption"), Skipped("line 3", "empty caption")]


@given(st.lists(st.tuples(st.sampled_from(get_args(Reason)[:4]), st.integers(0, 99)), max_size=9))
def test_the_first_of_each_reason_stands_for_all(items: list[tuple[Reason, int]]) -> None:
    skipped = [Skipped(f"line {place}", reason, str(value)) for place, (reason, value) in enumerate(items)]
    groups = first_of_each(skipped)
    assert sum(count for _, count in groups) == len(skipped)
    assert [count for _, count in groups] == sorted((count for _, count in groups), reverse=True)
    for first, count in groups:
        same = [item for item in skipped if item.reason == first.reason]
        assert (first, first.detail, count) == (same[0], same[0].detail, len(same))


@pytest.mark.parametrize("skip_bad", [False, True])
def test_other_errors_come_through(skip_bad: bool) -> None:
    entries = Entries(skip_bad=skip_bad)
    with pytest.raises(ZeroDivisionError), entries.entry("line 1"):
        raise ZeroDivisionError
    assert entries.skipped == []


def test_an_id_is_claimed_once_in_a_file_and_kind() -> None:
    entries = Entries(skip_bad=False)
    entries.claim("a.json", "annotation", "1")
    entries.claim("b.json", "annotation", "1")
    entries.claim("a.json", "image", "1")
    with pytest.raises(EntryError, match="duplicate id: 'annotation' '1'"):
        entries.claim("a.json", "annotation", "1")


@given(st.text(st.characters(), max_size=5))  # lone surrogates too
def test_text_that_utf_8_cannot_hold_is_refused(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(EntryError, match="not UTF-8 text"):
            utf8_text(text)
    else:
        assert utf8_text(text) == text


@given(st.text("ab ", max_size=60), st.text("ab\u00e9\u72ac", max_size=60))
def test_the_first_bad_byte_is_shown_with_the_text_before_it(before: str, after: str) -> None:
    text = f"{before}\udce9{after}"  # Latin-1's e with an accent, as `surrogateescape` reads it
    with pytest.raises(EntryError) as caught:
        utf8_text(text)
    place = f"after {before[-40:]!r}" if before else "at its beginning"
    assert caught.value.detail == f"the byte 0xE9 {place} ('\u00e9' in Windows-1252)"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("A \udc81 dog", "the byte 0x81 after 'A '"),  # Windows-1252 has no such character
        ("\u72ac\udc81", "the byte 0x81 after '\u72ac'"),
        ("A \ud83d dog", r"half of a character, '\ud83d', after 'A '"),
    ],
)
def test_what_is_no_utf_8_is_described(text: str, detail: str) -> None:
    with pytest.raises(EntryError) as caught:
        utf8_text(text)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("value", "caption"),
    [(" A dog \r\n", "A dog"), ("犬", "犬"), ("3", "3"), ("... a", "... a"), ("A\ndog", "A\ndog")],
)
def test_captions_are_kept_as_written(value: str, caption: str) -> None:
    assert caption_text(value) == caption


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty caption"),
        (" . - !", "empty caption"),
        ("😀", "empty caption"),
        (None, "wrong fields: the caption is not text but NoneType"),
        (7, "wrong fields: the caption is not text but int"),
        ("A \ud83d dog", "not UTF-8 text"),
    ],
)
def test_what_is_no_caption_is_refused(value: object, reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        caption_text(value)
