"""Images without alt text in Markdown: `![](address)`, and `<img>` in HTML between."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, html_inline, image
from markdown_it.token import Token

from showtell.alt.gaps import Gap, Lines
from showtell.alt.html import MARK, find_in
from showtell.alt.tags import MADE_ADDRESS, PLACEHOLDER, is_placeholder
from showtell.alt.templates import MaskedText, is_templated

Rule = Callable[[StateInline, bool], bool]

_UNCERTAIN: Final = "its place in the file is uncertain; write its text by hand"
_MADE_TAG: Final = re.compile(r"<img\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)


def find_gaps(text: str, suffix: str = "") -> list[Gap]:
    """Images whose alt text is empty, in CommonMark; what stands in code is no image.

    The HTML of the page, and a mark for each image of Markdown, are collected at their own places in an
    otherwise empty text, which is then read as HTML: so tags belong together across paragraphs, and an image
    in a comment is none.

    Args:
        text: the page.
        suffix: of its file, in lower case.

    Raises:
        DataError: HTML in it cannot be read.
    """
    page = MaskedText(text, suffix)
    collected = _Collected(page)
    for token in _Parser().parse(page.text):
        collected.add(token)
    gaps, marks = find_in(collected.html(), page)
    return sorted(
        [*gaps, *(gap for offset, gap in collected.images.items() if offset in marks), *collected.uncertain],
        key=lambda gap: gap.offset,
    )


class _Parser(MarkdownIt):
    """A parser that notes where in its paragraph each image and each tag stands."""

    def __init__(self) -> None:
        super().__init__("commonmark")
        self.inline.ruler.at("image", _noting(image))
        self.inline.ruler.at("html_inline", _noting(_html_or_made))

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - markdown-it's name
        """Leave addresses as they are in the page."""
        return url


def _noting(rule: Rule) -> Rule:
    def noting(state: StateInline, silent: bool) -> bool:
        start, known = state.pos, len(state.tokens)
        done = rule(state, silent)
        if done and not silent and len(state.tokens) > known:
            state.tokens[-1].meta["start"] = start
        return done

    return noting


def _html_or_made(state: StateInline, silent: bool) -> bool:
    """Take a tag; of images also one that is HTML only when a template or JSX has made its attributes."""
    if html_inline(state, silent):
        return True
    match = _MADE_TAG.match(state.src, state.pos, state.posMax)
    if not match or not is_templated(match.group()):
        return False
    if not silent:
        state.push("html_inline", "", 0).content = match.group()
    state.pos = match.end()
    return True


class _Collected:
    """HTML and images of Markdown, at their offsets in the page."""

    def __init__(self, page: MaskedText) -> None:
        self.images: dict[int, Gap] = {}
        self.uncertain: list[Gap] = []
        self._page, self._lines = page, Lines(page.text)
        self._characters = [character if character in "\r\n" else " " for character in page.text]

    def html(self) -> str:
        return "".join(self._characters)

    def add(self, token: Token) -> None:
        if token.type == "html_block":
            tail = token.content.rfind("<")
            cut = tail > token.content.rfind(">") and not token.content.startswith("<!--", tail)
            self._place(token, 0, token.content[:tail] if cut else token.content)
        for child in token.children or ():
            start: Any = child.meta.get("start")
            if child.type == "html_inline":
                self._place(token, start, child.content)
            elif child.type == "image" and not child.content.strip():
                self._add_image(token, start, str(child.attrs.get("src", "")))

    def _add_image(self, token: Token, start: int, source: str) -> None:
        problem = MADE_ADDRESS if is_templated(source) else PLACEHOLDER if is_placeholder(source) else ""
        source = unquote(self._page.original(source))
        offset = self._locate(token, start)
        if offset is None or not self._page.text.startswith("![", offset):
            self._add_uncertain(token, source)
            return
        self.images[offset] = Gap(offset + len("!["), source, "markdown", "", problem)
        self._write(offset, f"<{MARK}>")

    def _place(self, token: Token, start: int, content: str) -> None:
        """Copy a token's HTML to its lines."""
        position = start
        for line in content.split("\n"):
            piece = line.rstrip()
            offset = self._locate(token, position) if piece else None
            if piece and (offset is None or not self._page.text.startswith(piece, offset)):
                if re.search(r"<img\b", content, re.IGNORECASE):
                    self._add_uncertain(token, "")
                return
            if offset is not None:
                self._write(offset, piece)
            position += len(line) + 1

    def _add_uncertain(self, token: Token, source: str) -> None:
        line = min(token.map[0] if token.map else 0, len(self._lines.lines) - 1)
        self.uncertain.append(Gap(self._lines.offset(line, 0), source, "html", "", _UNCERTAIN))

    def _write(self, offset: int, piece: str) -> None:
        self._characters[offset : offset + len(piece)] = piece

    def _locate(self, token: Token, position: int) -> int | None:
        """The offset in the page of a position in a token: its lines are parts of the page's lines."""
        before = token.content[:position]
        number = before.count("\n")
        line = number + token.map[0] if token.map else len(self._lines.lines)
        if line >= len(self._lines.lines):
            return None
        column = position - (before.rfind("\n") + 1)
        content = token.content.split("\n")[number].rstrip()
        indent = self._lines.lines[line].find(content)
        return None if indent < 0 else self._lines.offset(line, indent + column)
