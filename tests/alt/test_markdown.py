"""Images without alt text in Markdown, against what markdown-it itself renders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from showtell.alt.gaps import fill
from showtell.alt.markdown import find_gaps
from tests.alt.test_html import Images

PAGE = """\
---
title: Photos
---
# ![](head.jpg) A title #

Text ![](one.jpg) and `![](code.jpg)` and ![](two%20words.jpg "a title").
More   ![has one](three.jpg) ![ ](four.jpg)
  indented ![](five.jpg)

- a list
  - ![](six.jpg)

    > quoted ![](seven.jpg)
    > ![][ref] and [![](eight.jpg)](link.html)

| a | ![](nine.jpg) |
| --- | --- |
| \\![](escaped.jpg) | ![](ten.jpg) |

    ![](code.jpg)

```
![](code.jpg)
```

<div>
  <img src="eleven.jpg">
  <img src="kept.jpg" alt="">
</div>

Inline <img src="twelve.jpg"> html. ![](thirteen.jpg)![](fourteen.jpg)

[ref]: referred.jpg
"""
SOURCES = [
    "head.jpg",
    "one.jpg",
    "two words.jpg",
    "four.jpg",
    "five.jpg",
    "six.jpg",
    "seven.jpg",
    "referred.jpg",
    "eight.jpg",
    "nine.jpg",
    "ten.jpg",
    "eleven.jpg",
    "twelve.jpg",
    "thirteen.jpg",
    "fourteen.jpg",
]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_is_found_and_filled(ends: str) -> None:
    page = PAGE.replace("\n", ends)
    gaps = find_gaps(page)
    assert [gap.source for gap in gaps] == SOURCES
    filled = fill(page, [(gap, f"text {place}") for place, gap in enumerate(gaps)])
    assert find_gaps(filled) == []
    for place in range(len(SOURCES)):
        filled = filled.replace(f' alt="text {place}"', "", 1).replace(f"text {place}", "", 1)
    assert filled == page


PIECES = st.sampled_from(
    (
        *("![](a.jpg)", "![x](b.jpg)", "`![](c.jpg)`", "<img src='d.jpg'>", "[l](m)", "![", "](", "word "),
        *("\n", "\n\n", "\r\n", "> ", "- ", "1. ", "    ", "\t", "# ", "```\n", "<div>\n"),
        *("**", "|", "\\", "é"),
    )
)
ALT = "a [dog] *runs* <fast> & \\far_"


@given(st.lists(PIECES, max_size=20))
def test_filled_pages_render_with_the_texts_and_are_otherwise_the_same(pieces: list[str]) -> None:
    text = "".join(pieces)
    gaps = find_gaps(text)
    filled = fill(text, [(gap, ALT) for gap in gaps])
    for gap in sorted(gaps, key=lambda gap: -gap.offset):  # taking them out again gives the page
        insertion = gap.insertion(ALT)
        before = sum(len(g.insertion(ALT)) for g in gaps if g.offset < gap.offset)
        at = gap.offset + before
        assert filled[at : at + len(insertion)] == insertion
        filled = filled[:at] + filled[at + len(insertion) :]
    assert filled == text
    render = MarkdownIt("commonmark").render
    before_alts = Images(render(text)).alts
    after_alts = Images(render(fill(text, [(gap, ALT) for gap in gaps]))).alts
    assert len(before_alts) == len(after_alts)
    changed = [(b, a) for b, a in zip(before_alts, after_alts, strict=True) if b != a]
    assert len(changed) == sum(not gap.problem for gap in gaps)  # the others are only reported
    assert all(not b and a == ALT for b, a in changed)


@given(st.text(alphabet="![]()<>img src=a\n\t `>-#*\\|1.", max_size=60))
def test_any_text_is_read_and_filled(text: str) -> None:
    gaps = find_gaps(text)
    assert find_gaps(fill(text, [(gap, "x") for gap in gaps])) == []
