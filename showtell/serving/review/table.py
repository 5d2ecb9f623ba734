"""The files of a review: a table of captions, and beside it the list of photos that were skipped."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from showtell.data.annotations.csv_tables import read_header, rows
from showtell.data.annotations.names import name_key
from showtell.errors import AnnotationError
from showtell.utils.csv_cells import name_cell
from showtell.utils.files import write_atomic

_COLUMNS: Final = ["image", "caption"]


@dataclass
class CaptionTable:
    """A table of images and captions, with columns of its own, that is written as a whole.

    Attributes:
        path: the file.
        delimiter: between its columns.
        header: the names of the columns, as written.
        rows: the fields of each row, as written.
        image: number of the column that names the image.
        caption: number of the column of the caption.
        key: the same text for names of the same image.
    """

    path: Path
    delimiter: str
    header: list[str]
    rows: list[list[str]]
    image: int = 0
    caption: int = 1
    key: Callable[[str], str] = field(default=name_key, kw_only=True)

    @classmethod
    def read(cls, path: Path, key: Callable[[str], str] = name_key) -> CaptionTable:
        """Read a table; one that does not exist is empty, with the columns `image,caption`.

        Args:
            path: the file.
            key: the same text for names of the same image.

        Raises:
            AnnotationError: it cannot be read, or has a row that could not be written back as it is.
        """
        if not path.exists():
            return cls(path, ",", list(_COLUMNS), [], key=key)
        header = read_header(path)
        if header is None:
            raise AnnotationError(f"{path}: no columns image and caption in its first line; name them there")
        delimiter, written, columns = header
        fields = []
        for entry, row in rows(path):
            if row.error or len(row.fields) != len(columns):
                reason = row.error or f"{len(row.fields)} fields, not {len(columns)}"
                raise AnnotationError(f"{entry}: {reason}; correct the row")
            fields.append(row.fields)
        if not _is_utf8([written, *fields]):
            raise AnnotationError(f"{path}: not UTF-8 text; save the file as UTF-8")
        positions = columns.index("image"), columns.index("caption")
        return cls(path, delimiter, written, fields, *positions, key=key)

    def captioned(self) -> set[str]:
        """The keys of the images that have a caption."""
        return {self.key(row[self.image]) for row in self.rows if row[self.caption].strip()}

    def replace(self, name: str, caption: str | None) -> None:
        """Give an image this caption and no other; None for none.

        Raises:
            WriteError: the file cannot be written; it is as it was.
        """
        wanted = self.key(name)
        self.rows = [row for row in self.rows if self.key(row[self.image]) != wanted]
        if caption is not None:
            row = [""] * len(self.header)
            row[self.image], row[self.caption] = name_cell(name), caption
            self.rows.append(row)
        _write(self.path, [self.header, *self.rows], self.delimiter)


class SkippedList:
    """The images that were skipped: a CSV file of the one column `image`, so that no reader takes it.

    Args:
        table: the file of the captions; the list is `captions.skipped.csv` beside `captions.csv`.
        key: the same text for names of the same image.
    """

    def __init__(self, table: Path, key: Callable[[str], str] = name_key) -> None:
        self._key = key
        self.path = table.with_name(f"{table.stem}.skipped{table.suffix}")

    def names(self) -> list[str]:
        """The images.

        Raises:
            AnnotationError: the file cannot be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8-sig") if self.path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{self.path}: cannot be read ({error}); delete it") from error
        return [row[0] for row in csv.reader(io.StringIO(text, newline="")) if row][1:]

    def set(self, name: str, *, skipped: bool) -> None:
        """Add an image, or take it from the list.

        Raises:
            WriteError: the file cannot be written.
        """
        before = self.names()
        names = [each for each in before if self._key(each) != self._key(name)]
        names += [name_cell(name)] if skipped else []
        if names != before:
            _write(self.path, [["image"], *([each] for each in names)], ",")


def _is_utf8(lines: list[list[str]]) -> bool:
    """Whether all fields can be written again: bytes that are not UTF-8 are read as surrogates."""
    try:
        "".join(field for fields in lines for field in fields).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write(path: Path, lines: list[list[str]], delimiter: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(lines)
    write_atomic(path.resolve(), stream.getvalue())
