"""Errors are one line of printable text, however long or odd what they quote is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.errors import MAX_MESSAGE, ShowtellError, WriteError, is_control, one_line


@settings(deadline=None)
@given(st.text(max_size=50) | st.text(max_size=3).map(lambda text: text * 2000))
def test_a_message_is_a_printable_line_of_bounded_length(text: str) -> None:
    for error in (ShowtellError(f"model.json: {text}"), WriteError(text, "no room")):
        message = str(error)
        assert not any(map(is_control, message))
        assert len(message) <= MAX_MESSAGE


@pytest.mark.parametrize(("length", "whole"), [(MAX_MESSAGE, True), (MAX_MESSAGE + 1, False)])
def test_a_long_message_keeps_its_file_and_its_advice(length: int, whole: bool) -> None:
    text = "model.json: " + "x" * (length - 23) + "; mend them"
    message = str(ShowtellError(text))
    assert (message == text) == whole
    assert message.startswith("model.json: xxx")
    assert message.endswith("; mend them")


def test_a_name_is_one_line_and_keeps_its_spaces() -> None:
    assert one_line("a\u2028b\u2029c\n\x1b[31m\u3000\xa0\u202e") == (
        "a\\u2028b\\u2029c\\n\\x1b[31m\u3000\xa0\\u202e"
    )
