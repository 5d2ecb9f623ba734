"""A patch of pages, for `git apply` and `patch -p1`."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from showtell.alt.documents import Page, encode
from showtell.alt.gaps import Gap, fill


@dataclass(frozen=True)
class Patch:
    """A patch.

    Attributes:
        content: unified diffs, one per page.
        folder: absolute path of the folder in which it applies.
    """

    content: bytes
    folder: Path


def make_patch(pages: Sequence[tuple[Page, Sequence[tuple[Gap, str]]]]) -> Patch:
    """Make a patch of pages with alt texts.

    Its names begin at the present folder; if pages lie outside of that, which neither tool follows, at the
    deepest folder that all of them are in. Links are followed first, since neither tool does it.
    """
    files = [page.path.resolve() for page, _ in pages]
    folder = Path.cwd().resolve()
    if not all(file.is_relative_to(folder) for file in files):
        folder = Path(os.path.commonpath([file.parent for file in files]))
    diffs = [
        _diff(file.relative_to(folder), page.text, fill(page.text, texts))
        for file, (page, texts) in zip(files, pages, strict=True)
    ]
    return Patch(b"".join(diffs), folder)


def _diff(name: Path, before: str, after: str) -> bytes:
    lines = difflib.unified_diff(
        _lines(before), _lines(after), _quoted(f"a/{name.as_posix()}"), _quoted(f"b/{name.as_posix()}")
    )
    cut = "\n\\ No newline at end of file\n"
    return encode("".join(line if line.endswith("\n") else line + cut for line in lines))


def _quoted(name: str) -> str:
    """A name as both tools read it: a tab after spaces, and C's escapes for what would end the line."""
    if re.search(r'[\x00-\x1f\x7f"\\]', name):
        escaped = re.sub(r'["\\]', r"\\\g<0>", name)
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\{ord(match.group()):03o}", escaped) + '"'
    return name + "\t" * (" " in name)


def _lines(text: str) -> list[str]:
    """Lines with their ends; only LF ends a line."""
    *complete, last = text.split("\n")
    return [f"{line}\n" for line in complete] + ([last] if last else [])
