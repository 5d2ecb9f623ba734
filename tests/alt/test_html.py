"""`<img>` without alt in HTML: recognised as a browser does, filled without touching anything else."""

from __future__ import annotations

import html as escapes
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.alt.gaps import fill
from showtell.alt.html import find_gaps
from showtell.errors import DataError


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ('<img src="a.jpg">', ["a.jpg"]),
        ("<p>x\n<IMG\n  SRC = a.jpg ><img src='b.jpg'/>", ["a.jpg", "b.jpg"]),
        ('<img src="a.jpg" alt="a dog">', []),
        ('<img src="a.jpg" alt="">', []),
        ("<img src=a.jpg alt>", []),
        ('<img src="a.jpg" ALT="x">', []),
        ('<img src="a.jpg" data-alt="x" title="t">', ["a.jpg"]),
        ('<img src="a.jpg" role="presentation"><img src=b aria-hidden="true">', []),
        ('<img src="a.jpg" aria-label="a dog"><img src=b aria-labelledby="c">', []),
        ('<!-- <img src="a.jpg"> --><script>"<img src=b>"</script><style>/*<img src=c>*/</style>', []),
        ('<img src="a.jpg?x=1&amp;y=2">', ["a.jpg?x=1&y=2"]),
        ('<img src="data:image/gif;base64,R0" data-src="a.jpg">', ["a.jpg"]),
        ('<img srcset="a.jpg 1x, b.jpg 2x">', ["a.jpg"]),
        ("<img>", [""]),
        ('<picture><source srcset="a.webp"><img src="a.jpg"></picture>', ["a.jpg"]),
        ('<a title="<img src=x>"><img src="a.jpg"', []),
        ("<imgx src=a.jpg><image src=b.jpg>", []),
    ],
)
def test_what_is_found(text: str, sources: list[str]) -> None:
    assert [gap.source for gap in find_gaps(text)] == sources


class Images(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.alts: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append(dict(attrs).get("alt"))


PIECES = st.sampled_from(
    [
        '<img src="a.jpg">',
        "<img\n\tsrc=b.jpg>",
        '<IMG class="x" src="c.jpg" />',
        '<img alt="kept" src="d.jpg">',
        "<p>été €\r\n",
        "</p>",
        "<!-- <img src=no> -->",
        "<b>\u2028</b>",
        "\x85\x0c",
        "text & more < less",
        "\n",
    ]
)


@given(st.lists(PIECES, max_size=12), st.text(min_size=1, max_size=12).filter(lambda t: "\r" not in t))
def test_filling_gives_every_image_its_text_and_changes_nothing_else(pieces: list[str], alt: str) -> None:
    text = "".join(pieces)
    gaps = find_gaps(text)
    filled = fill(text, [(gap, alt) for gap in gaps])
    assert find_gaps(filled) == []
    assert filled.replace(f' alt="{escapes.escape(alt)}"', "") == text
    shown = escapes.unescape(escapes.escape(alt))
    assert Images(filled).alts == [one or shown for one in Images(text).alts]


@given(st.text(alphabet="<>!-[]/= \"'imgsrcaltCDATA&;\n?", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        gaps = find_gaps(text)
    except DataError:
        return
    assert find_gaps(fill(text, [(gap, "x") for gap in gaps])) == []
