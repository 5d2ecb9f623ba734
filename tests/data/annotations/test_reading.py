"""Reading annotation files: text, lines and JSON, and files that are none of these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.reading import (
    begins_with,
    contains,
    first_line,
    first_lines,
    first_text,
    parse_json_line,
    read_json,
    read_lines,
    read_text,
)
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import write


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_text_with_and_without_a_byte_order_mark(tmp_path: Path, start: bytes) -> None:
    file = write(tmp_path / "a.txt", start + "Un été\r\n".encode())
    assert read_text(file) == "Un été\r\n"
    assert first_line(file) == "Un été"
    assert begins_with(file, "Un")
    assert not begins_with(file, "U été")


def test_bytes_that_are_no_utf_8_spoil_their_entry_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", b"good\n\xe9t\xe9\n")
    (_, good), (_, bad) = read_lines(file)
    assert good == "good"
    with pytest.raises(UnicodeEncodeError):
        bad.encode("utf-8")


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["", " ", "a", "é\u2028b", "\x0bc"]), min_size=1, max_size=6))
def test_lines_are_numbered_as_editors_number_them(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    """Only line feeds end a line; blank lines count."""
    file = write(tmp_path_factory.getbasetemp() / "lines.txt", "\n".join([*lines, "end"]))
    expected = [(n, line.strip()) for n, line in enumerate([*lines, "end"], 1) if line.strip()]
    assert list(read_lines(file)) == [(f"{file}: line {n}", line) for n, line in expected]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty; download or write it again"),
        (b" \r\n\t", "the file is empty"),
        (b"a\0b", "not UTF-8 text; save the file as UTF-8"),
        ("a".encode("utf-16"), "not UTF-8 text"),
    ],
)
def test_a_file_without_text_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = write(tmp_path / "a.txt", content)
    with pytest.raises(AnnotationError, match=reason) as caught:
        read_text(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(AnnotationError, match=rf"cannot be read \({reason}.*\); check the file"):
            read_json(path)
        assert (first_line(path), first_text(path)) == ("", "")
        assert not contains(path, b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"images": [', r"broken JSON \(Expecting value: line 1 column 13"),
        ("[" * 100_000, "broken JSON"),
        ("{'a': 1}", "broken JSON"),
    ],
)
def test_broken_json(tmp_path: Path, content: str, reason: str) -> None:
    file = write(tmp_path / "a.json", content)
    with pytest.raises(AnnotationError, match=reason) as caught:
        read_json(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(EntryError, match="broken JSON"):
        parse_json_line(content)


@settings(max_examples=30)
@given(st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)))
def test_json_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    file = write(tmp_path_factory.getbasetemp() / "value.json", json.dumps(value))
    assert read_json(file) == parse_json_line(json.dumps(value)) == value


def test_the_beginning_of_a_file_is_enough(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", " \n[" + "x" * 50_000 + '"late"')
    assert len(first_line(file)) == 0
    assert first_text(file, 10) == "[" + "x" * 7
    assert contains(file, b'"late"')


def test_the_first_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", b"\xef\xbb\xbfone\t\r\n \n\xff\n")
    assert [first_lines(file, count) for count in range(4)] == [
        [],
        ["one\t\n"],
        ["one\t\n", " \n"],
        ["one\t\n", " \n", "\ufffd\n"],
    ]
    assert first_lines(tmp_path / "gone.txt", 2) == []
