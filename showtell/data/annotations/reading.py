"""Reading annotation files: text in any encoding, lines, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.data.annotations.entries import EntryError
from showtell.errors import AnnotationError


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Bytes that are not UTF-8 become lone surrogates, so that the entry they are in is refused, not the file.

    Raises:
        AnnotationError: it cannot be read, is empty, or is no text (or UTF-16).
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read ({error.strerror}); check the file") from error
    if not data.strip():
        raise AnnotationError(f"{file}: the file is empty; download or write it again")
    if b"\0" in data:
        raise AnnotationError(f"{file}: not UTF-8 text; save the file as UTF-8")
    return data.decode("utf-8-sig", errors="surrogateescape")


def read_lines(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, each with its entry name (`file: line 3`).

    Raises:
        AnnotationError: as `read_text`.
    """
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if stripped := line.strip():
            yield f"{file}: line {number}", stripped


def first_line(file: Path) -> str:
    """The first line of a file, to detect its format; empty if it cannot be read."""
    return "".join(first_lines(file, 1)).strip()


def first_lines(file: Path, count: int) -> list[str]:
    """The first lines of a file as they are, to detect its format; none if it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return [line for _ in range(count) if (line := lines.readline(10_000))]
    except OSError:
        return []


def begins_with(file: Path, text: str) -> bool:
    """Whether a text file begins with a text, after white space; False if it cannot be read."""
    return first_text(file).startswith(text)


def first_text(file: Path, count: int = 2000) -> str:
    """The beginning of a text file, without white space before it; empty if it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return lines.read(count).lstrip()
    except OSError:
        return ""


def contains(file: Path, *texts: bytes) -> bool:
    """Whether the file holds all the texts, to detect its format; False if it cannot be read."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return all(text in content for text in texts)


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        AnnotationError: as `read_text`, or it is not whole JSON.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        fix = "download or write the file again"
        raise AnnotationError(f"{file}: broken JSON ({str(error) or 'nested too deep'}); {fix}") from error


def parse_json_line(line: str) -> Any:
    """The content of one line of JSON.

    Raises:
        EntryError: it is not whole JSON.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EntryError("broken JSON", str(error) or "nested too deep") from None
