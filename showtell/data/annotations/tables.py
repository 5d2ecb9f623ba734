"""CSV (also with tabs or semicolons): columns `image`, `caption` and, if there is one, `split`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.sources import first_line, read_text, split_field, text_field
from showtell.errors import AnnotationError

_SUFFIXES = (".csv", ".tsv")
_CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.txt")
_DELIMITERS = (",", "\t", ";", "|")


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        columns: the names of the columns, in lower case; `image` and `caption` are among them.
        fields: the fields as written.
    """

    columns: list[str]
    fields: list[str]

    def record(self) -> dict[str, str]:
        """The fields by their column.

        Raises:
            EntryError: there are more or fewer fields than columns.
        """
        if len(self.fields) != len(self.columns):
            detail = (
                f"{len(self.fields)} fields, not {len(self.columns)} (a caption with a comma needs quotes)"
            )
            raise EntryError("wrong fields", detail)
        return dict(zip(self.columns, self.fields, strict=True))


def matches(root: Path) -> bool:
    """Whether it is a table, or a folder with `captions.csv` (.tsv, .txt) or one other table of captions."""
    if root.is_dir():
        return _file(root) is not None
    return (
        root.suffix in _SUFFIXES or has_header(root) or (root.suffix == ".txt" and "\t" in first_line(root))
    )


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of a table, one caption a row; the rows of one image are merged.

    Images are looked for beside the file and in `images` there.

    Raises:
        AnnotationError: there is no such file, or it cannot be used.
    """
    file = _file(root) if root.is_dir() else root
    if file is None:
        raise AnnotationError(
            f"{root}: no captions.csv (or one other .csv) in it; name the file with --data.root"
        )
    folders = ImageFolders(
        [images] if images else [file.parent, file.parent / "images", file.parent / "Images"]
    )
    for entry, row in rows(file):
        with collector.entry(entry):
            record = row.record()
            name = text_field(record, "image").strip()
            collector.merge_image(name, split_field(record), folders)
            collector.add_caption(name, record["caption"])


def has_header(file: Path) -> bool:
    """Whether the first line names the columns `image` and `caption`."""
    return _header(first_line(file)) is not None


def rows(file: Path, image: str = "image") -> Iterator[tuple[str, Row]]:
    """Entry name and row of every row that is not blank.

    A `.txt` without a header is `image<tab>caption`.

    Args:
        file: the table.
        image: the name of the column that names the image.

    Raises:
        AnnotationError: the columns are not there, or a quote is not closed.
    """
    text = read_text(file)
    line = text.partition("\n")[0]
    header = _header(line, image)
    delimiter, columns = header or ("\t", [image, "caption"])
    if header:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        next(reader)
    elif file.suffix == ".txt" and "\t" in line:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        fix = f"name them there: {image},caption or {image},caption,split"
        raise AnnotationError(
            f"{file}: wrong fields: no columns {image} and caption in its first line; {fix}"
        )
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield f"{file}: line {reader.line_num}", Row(columns, fields)
    except csv.Error as error:
        fix = 'put a caption that holds quotes in quotes, and write each " inside as ""'
        raise AnnotationError(f"{file}: line {reader.line_num}: {error}; {fix}") from error


def _header(line: str, image: str = "image") -> tuple[str, list[str]] | None:
    """The delimiter and the columns of a first line that names the columns `image` and `caption`."""
    for delimiter in _DELIMITERS:
        columns = [column.strip('" \r\n').lower() for column in line.split(delimiter)]
        if {image, "caption"} <= set(columns):
            return delimiter, columns
    return None


def _file(root: Path) -> Path | None:
    """The table of a folder: a caption file by name, else the only table if it has the right columns."""
    for name in _CAPTION_FILES:
        if (root / name).is_file():
            return root / name
    tables = [file for suffix in _SUFFIXES for file in root.glob(f"*{suffix}")]
    return tables[0] if len(tables) == 1 and has_header(tables[0]) else None
