"""Caption writers: screen, .jsonl/.csv/.html files, attention maps.

Each of these is an `Output`: a context manager that takes one `Record` per photo, as it comes. To add a file
format, write a subclass of `FileWriter` in a module of its own, and add its ending to `WRITERS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from showtell.errors import UsageError
from showtell.output.attention_maps import AttentionImages
from showtell.output.csv_file import CsvWriter
from showtell.output.file_writer import FileWriter
from showtell.output.gallery import GalleryWriter
from showtell.output.jsonl import JsonlWriter
from showtell.output.photo import Photo
from showtell.output.record import Output, Record
from showtell.output.screen import Screen
from showtell.output.summary import Distinct, Tally

__all__ = [
    "WRITERS",
    "AttentionImages",
    "Distinct",
    "FileWriter",
    "GalleryWriter",
    "Output",
    "Photo",
    "Record",
    "Screen",
    "Tally",
    "make_writer",
]

WRITERS: Final[dict[str, type[FileWriter]]] = {
    ".jsonl": JsonlWriter,
    ".csv": CsvWriter,
    ".html": GalleryWriter,
}
"""Endings, in lower case, and what writes files of this ending."""


def make_writer(path: Path) -> FileWriter:
    """Make what writes the file `path`, by its ending; nothing is written before it is entered.

    Raises:
        UsageError: no file of this ending can be written, or it is a folder.
    """
    if path.suffix.lower() not in WRITERS:
        *others, last = WRITERS
        raise UsageError(f"{path}: captions are written to {', '.join(others)} or {last} files; name one")
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; name a file in it")
    return WRITERS[path.suffix.lower()](path)
