"""Pictures without alt text in Markdown: `![](address)`, and `<img>` in HTML between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, html_inline, image
from markdown_it.token import Token

from showtell.alt import html
from showtell.alt.gaps import Gap, Lines

Rule = Callable[[StateInline, bool], bool]


def find_gaps(text: str) -> list[Gap]:
    """Pictures whose alt text is empty, in CommonMark; what stands in code is no picture.

    Raises:
        DataError: HTML in it cannot be read.
    """
    lines = Lines(text)
    found = []
    for token in _parser().parse(text):
        for position, gap in _gaps_of(token):
            offset = _locate(lines, token, position)
            # Of a page with odd line ends or tabs the place may be uncertain: then it is left alone.
            opening = "![" if gap.syntax == "markdown" else "<img"
            if offset is not None and text[offset : offset + len(opening)].lower() == opening:
                found.append(Gap(offset + len(opening), gap.source, gap.syntax))
    return found


def _parser() -> MarkdownIt:
    """A parser that notes where in its paragraph each picture and each tag stands."""
    parser = MarkdownIt("commonmark")
    parser.inline.ruler.at("image", _noting(image))
    parser.inline.ruler.at("html_inline", _noting(html_inline))
    return parser


def _noting(rule: Rule) -> Rule:
    def noting(state: StateInline, silent: bool) -> bool:
        start, known = state.pos, len(state.tokens)
        done = rule(state, silent)
        if done and not silent and len(state.tokens) > known:
            state.tokens[-1].meta["start"] = start
        return done

    return noting


def _gaps_of(token: Token) -> Iterator[tuple[int, Gap]]:
    """Where in the token's content a picture without text begins, and the gap."""
    if token.type == "html_block":
        for gap in html.find_gaps(token.content):
            yield gap.offset - len("<img"), gap
    for child in token.children or ():
        start: Any = child.meta.get("start")
        if child.type == "image" and not child.content.strip():
            yield start, Gap(0, unquote(str(child.attrs.get("src", ""))), "markdown")
        elif child.type == "html_inline":
            yield from ((start, gap) for gap in html.find_gaps(child.content))


def _locate(lines: Lines, token: Token, position: int) -> int | None:
    """The offset in the page of a position in a token's content: its lines are parts of the page's lines."""
    if token.map is None:
        return None
    before = token.content[:position]
    line = before.count("\n")
    column = position - (before.rfind("\n") + 1)
    content = token.content.split("\n")[line].rstrip()
    indent = lines.lines[token.map[0] + line].find(content)
    return None if indent < 0 else lines.offset(token.map[0] + line, indent + column)
