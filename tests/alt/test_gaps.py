"""Texts are inserted at their places, escaped for their syntax, and nothing else changes."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from showtell.alt.gaps import Gap, Lines, fill

TEXTS = st.text(st.sampled_from("ab <>&\"'[]*_`\\é"), min_size=1, max_size=12)


@given(TEXTS)
def test_html_reads_the_text_as_it_was(alt: str) -> None:
    inserted = Gap(0, "a.jpg", "html").insertion(alt)
    assert inserted.startswith(' alt="')
    value = inserted[len(' alt="') : -1]
    assert '"' not in value
    assert "<" not in value
    assert html.unescape(value) == alt


@given(TEXTS.map(str.strip).filter(bool))
def test_markdown_reads_the_text_as_it_was(alt: str) -> None:
    """By markdown-it, with each run of spaces as one, as it is shown."""
    text = f"![{Gap(2, 'a.jpg', 'markdown').insertion(alt)}](a.jpg)"
    (paragraph,) = [token for token in MarkdownIt().parse(text) if token.type == "inline"]
    (image,) = paragraph.children or []
    assert image.type == "image"
    assert image.content == text[2 : text.rindex("](")]
    assert "".join(child.content for child in image.children or []) == alt


INSERTIONS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from("xyz")), max_size=5)


@given(st.text("ab\n", max_size=20), INSERTIONS)
def test_texts_are_inserted_at_their_offsets(text: str, texts: list[tuple[int, str]]) -> None:
    """Compared with inserting one after the other, from the last."""
    places = [(min(offset, len(text)), alt) for offset, alt in texts]
    expected = text
    for offset, alt in sorted(places, key=lambda pair: pair[0])[::-1]:
        expected = expected[:offset] + alt + expected[offset:]
    gaps = [(Gap(offset, "", "markdown"), alt) for offset, alt in places]
    assert fill(text, gaps) == expected


@pytest.mark.parametrize(
    ("offset", "place"), [(0, (0, 0)), (2, (0, 2)), (3, (1, 0)), (4, (2, 0)), (6, (2, 2))]
)
def test_lines_and_columns(offset: int, place: tuple[int, int]) -> None:
    lines = Lines("ab\n\nc\r")
    assert lines.lines == ["ab", "", "c\r"]
    assert lines.offset(*place) == offset
    assert lines.line(offset) == place[0]
