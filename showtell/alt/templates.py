"""Parts of a page that programs make or leave out: templates, code samples, comments, front matter.

These are masked before a page is parsed: each is replaced by as many private-use characters, so that all
offsets stay, and neither quotes nor spaces in it mislead the parser.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from typing import Final

_FIRST: Final = 0x100000  # plane 16, which is for private use
_LAST: Final = 0x10FFFD
_CODE: Final = "highlight|code|codeblock|code_block|sourcecode|prism|snippet|comment"
_UNLESS_BLANK_LINE: Final = r"(?:(?!\r?\n[ \t]*\r?\n).){0,2000}?"

_FRONT_MATTER: Final = re.compile(
    r"\A\ufeff?(?P<fence>---|\+\+\+)[ \t]*\r?\n(?=\s*(?:#[^\n]*\n\s*)*[\w\"'][\w .\"'-]*[:=])"
    r".*?\n(?P=fence)[ \t]*(?=[\r\n]|\Z)",
    re.DOTALL,
)
_ASTRO_SCRIPT: Final = re.compile(r"\A\ufeff?---[ \t]*\r?\n.*?\n---[ \t]*(?=[\r\n]|\Z)", re.DOTALL)
_MDX_SCRIPT: Final = re.compile(r"^(?:import|export)[ {*][^\n]*(?:\n(?![ \t]*\r?\n)[^\n]*)*", re.MULTILINE)
_LEFT_OUT: Final = (
    rf"\{{%-?\s*(?P<liquid>{_CODE})\b.*?\{{%-?\s*end(?P=liquid)\s*-?%\}}",  # Liquid, Jinja
    rf"\{{\{{[<%]\s*(?P<hugo>{_CODE})\b.*?\{{\{{[<%]\s*/\s*(?P=hugo)\s*[%>]\}}\}}",
    r"\{\{-?\s*/\*.*?\*/\s*-?\}\}",  # Go
    r"\{\{!--.*?--\}\}",  # Handlebars
    r"\{#(?![\w-]+\})(?:(?!\{#).)*?#\}",  # Jinja; not the {#name} of a heading
    r"\{/\*.*?\*/\}",  # JSX
    r"<%--.*?--%>",  # JSP
)
_TEMPLATED: Final = (
    rf"\{{\{{{_UNLESS_BLANK_LINE}\}}\}}",  # Liquid, Jinja, Hugo, Vue, Angular, Handlebars
    rf"\{{%{_UNLESS_BLANK_LINE}%\}}",
    r"<%.*?%>",  # ERB, EJS, JSP
    r"<\?.*?\?>",  # PHP
    r"[$#@*]\{[^{}\n]*\}",  # JSP, Thymeleaf, template literals
    r"%[A-Z]+_[A-Z_]+%",  # %PUBLIC_URL%
)
_MASKED: Final = re.compile("|".join((*_LEFT_OUT, *_TEMPLATED)), re.DOTALL)
_TAG: Final = re.compile(r"<(?:img|source|base)\b", re.IGNORECASE)
_LONGEST_TAG: Final = 10_000


class MaskedText:
    """A page with masks.

    Args:
        text: the page.
        suffix: of its file, in lower case: `.astro` and `.mdx` have scripts of their own.

    Attributes:
        text: as long as the page, with the same line ends; a carriage return that stands alone, which is a
            line end in Markdown and in old files, is a line feed.
    """

    def __init__(self, text: str, suffix: str = "") -> None:
        self._parts: list[str] = []
        text = re.sub(r"\r(?!\n)", "\n", text)
        text = (_ASTRO_SCRIPT if suffix == ".astro" else _FRONT_MATTER).sub(self._mask, text)
        if suffix == ".mdx":
            text = _MDX_SCRIPT.sub(self._mask, text)
        text = _MASKED.sub(self._mask, text)
        self.text = self._mask_spans(text, _braces_in_tags(text))

    def _mask(self, match: re.Match[str]) -> str:
        return self._mask_part(match.group())

    def _mask_part(self, part: str) -> str:
        return re.sub(r"[^\r\n]+", self._mask_line, part)

    def _mask_line(self, match: re.Match[str]) -> str:
        number = len(self._parts) % (_LAST - _FIRST)
        self._parts.append(match.group())
        return chr(_FIRST + number) * len(match.group())

    def _mask_spans(self, text: str, spans: Iterable[tuple[int, int]]) -> str:
        pieces, end = [], 0
        for start, stop in spans:
            pieces += [text[end:start], self._mask_part(self.original(text[start:stop]))]
            end = stop
        return "".join([*pieces, text[end:]])

    def original(self, masked: str) -> str:
        """A piece of the masked text as the page has it."""
        return re.sub(f"([{chr(_FIRST)}-{chr(_LAST)}])\\1*", self._part, masked)

    def _part(self, match: re.Match[str]) -> str:
        number = ord(match.group(1)) - _FIRST
        if number < len(self._parts) and len(self._parts[number]) == len(match.group()):
            return self._parts[number]
        return match.group()


def is_templated(text: str) -> bool:
    """Whether a piece of a masked text has a mask in it: a program makes it."""
    return any(_FIRST <= ord(character) <= _LAST for character in text)


def without_masks(text: str) -> str:
    """A piece of a masked text without what a program makes."""
    return "".join(character for character in text if not _FIRST <= ord(character) <= _LAST)


def _braces_in_tags(text: str) -> Iterator[tuple[int, int]]:
    """Where in tags of images JSX has expressions: `src={photo}`, `{...props}`."""
    end = 0
    for tag in _TAG.finditer(text):
        if tag.start() >= end:  # not inside an expression of another tag
            end = yield from _braces(text, tag.end())


def _braces(text: str, begin: int) -> Generator[tuple[int, int], None, int]:
    """The expressions of one tag; returns where it ends."""
    quote, depth, start = "", 0, begin
    stop = min(len(text), begin + _LONGEST_TAG)
    for index in range(begin, stop):
        character = text[index]
        opens = depth or text[index - 1] in "= \t\r\n"
        if quote:
            quote = "" if character == quote else quote
        elif opens and (character in "\"'" or (depth and character == "`")):
            quote = character
        elif opens and character == "{":
            start, depth = (start if depth else index), depth + 1
        elif character == "}" and depth:
            depth -= 1
            if not depth:
                yield start, index + 1
        elif character == ">" and not depth:
            return index
    return stop
