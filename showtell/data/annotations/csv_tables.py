"""CSV (also with tabs, semicolons or bars): columns of the image, its caption and, optionally, `split`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.fields import (
    CAPTION_FIELDS,
    IMAGE_FIELDS,
    first_field,
    missing_fields,
    split_field,
    text_field,
)
from showtell.data.annotations.image_folders import IMAGE_FOLDERS, ImageFolders
from showtell.data.annotations.listing import files_in, folders_in, split_in_name
from showtell.data.annotations.reading import first_line, first_lines, read_text
from showtell.data.records import Split
from showtell.errors import AnnotationError

_SUFFIXES = (".csv", ".tsv")
_CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.txt")
_METADATA = ("metadata.csv", "metadata.tsv")  # Hugging Face's imagefolder: one in each folder
_DELIMITERS = (",", "\t", ";", "|")
_UNQUOTED = ("\t", "|")  # what writes these seldom quotes; a comma has to
_LONGEST_ROW = 200  # lines: a quote that stays open longer was never meant as one
_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)  # the first line of tables for Excel
_NUMBER_AND_CAPTION = re.compile(r"\s*\d+\s+(\S.*)")


@dataclass(frozen=True, slots=True)
class _Header:
    """The line that names the columns.

    Attributes:
        lines: how many lines it takes; 2 with Excel's `sep=;` before it.
        delimiter: what is between the columns.
        written: the columns as written.
        columns: the columns as `Row` names them.
    """

    lines: int
    delimiter: str
    written: list[str]
    columns: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        columns: the names of the columns; `image` and `caption` are among them.
        fields: the fields as written.
        error: why the row cannot be split into fields.
    """

    columns: list[str]
    fields: list[str]
    error: str = ""

    def record(self) -> dict[str, str]:
        """The fields by their column.

        Raises:
            EntryError: there are more or fewer fields than columns, or a quote is not closed.
        """
        if self.error:
            raise EntryError("broken quotes", self.error)
        if len(self.fields) != len(self.columns):
            detail = (
                f"{len(self.fields)} fields, not {len(self.columns)} (a caption with a comma needs quotes)"
            )
            raise EntryError("wrong fields", detail)
        return dict(zip(self.columns, self.fields, strict=True))


def files(root: Path) -> list[Path]:
    """The tables of a folder: a caption file by name, the metadata of each of its folders, or the only one.

    Several are read if their names state the splits.
    """
    for name in _CAPTION_FILES:
        if (root / name).is_file():
            return [root / name]
    metadata = [
        file
        for folder in (root, *folders_in(root, 2))
        for file in files_in(folder, *_SUFFIXES)
        if file.name.lower() in _METADATA and has_header(file)
    ]
    if metadata:
        return metadata
    tables = [file for file in files_in(root, *_SUFFIXES) if has_header(file)]
    splits = [split_in_name(file.stem) for file in tables]
    distinct = None not in splits and len(set(splits)) == len(splits)
    return tables if len(tables) == 1 or distinct else []


def matches_file(file: Path) -> bool:
    """Whether a file is a table, by its ending or its first line."""
    return (
        file.suffix.lower() in _SUFFIXES
        or has_header(file)
        or (file.suffix == ".txt" and "\t" in first_line(file))
    )


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images and captions of a table, one caption per row; the rows of one image are merged.

    A row with the image and the caption of an earlier one is dropped. Images are looked for beside the file,
    in `images` and in the other folders there. Of several tables the folder, or the name of each, says the
    split.

    Raises:
        AnnotationError: there is no such file, or it cannot be used.
    """
    paths = files(root) if root.is_dir() else [root]
    if not paths:
        raise AnnotationError(
            f"{root}: no captions.csv (or one other .csv) in it; name the file with --data.root"
        )
    for file in paths:
        collector.reads(file)
        folders = beside(file, images)
        split = split_of(file, root)
        prefix = f"{file.parent.relative_to(root).as_posix()}/" if len(paths) > 1 else ""
        prefix = prefix.removeprefix("./")
        for entry, row in rows(file):
            with collector.entry(entry):
                record = row.record()
                name = text_field(record, "image").strip()
                collector.merge_image(name, split_field(record) or split, folders, prefix + name)
                collector.add_row_caption(prefix + name, record["caption"])


def beside(file: Path, images: Path | None) -> ImageFolders:
    """Where the images of an annotation file are: beside it, or in a folder there."""
    if images is not None:
        return ImageFolders([images], [images])
    return ImageFolders([file.parent, *(file.parent / name for name in IMAGE_FOLDERS)], [file.parent])


def split_of(file: Path, root: Path) -> Split | None:
    """The split that the name of a file says, or that of its folder in `root`."""
    inside = file.parent.name if root.is_dir() and file.parent != root else ""
    return split_in_name(file.stem) or split_in_name(inside)


def has_header(file: Path) -> bool:
    """Whether the first line names columns of the image and its caption."""
    return _header(first_lines(file, 2), IMAGE_FIELDS) is not None


def read_header(file: Path) -> tuple[str, list[str], list[str]] | None:
    """The delimiter and the columns of a table, as written and as `Row` names them; None without a header."""
    header = _header(first_lines(file, 2), IMAGE_FIELDS)
    return (header.delimiter, header.written, header.columns) if header else None


def column_line(file: Path) -> str:
    """The line where a table names its columns, if it does; empty if it cannot be read."""
    return _column_line(first_lines(file, 2))[0]


def rows(file: Path, image: str = "") -> Iterator[tuple[str, Row]]:
    """Entry name (with the line where the row begins) and row of every row that is not blank.

    A `.txt` without a header is `image<tab>caption`.

    Args:
        file: the table.
        image: the name of the column that names the image; without it, one of `IMAGE_FIELDS`.

    Raises:
        AnnotationError: the columns are not there.
    """
    lines = list(io.StringIO(read_text(file), newline=""))
    images = (image,) if image else IMAGE_FIELDS
    header = _header(lines[:2], images)
    if not header and not (file.suffix == ".txt" and "\t" in lines[0]):
        raise AnnotationError(_without_header(file, lines, images))
    delimiter = header.delimiter if header else "\t"
    columns = header.columns if header else [image or "image", "caption"]
    position = header.lines if header else 0
    while position < len(lines):
        fields, count, error = _next_row(lines, position, delimiter, quoted=header is not None)
        if error and delimiter in _UNQUOTED:
            fields, count, error = _next_row(lines, position, delimiter, quoted=False)
        if error or any(field.strip() for field in fields):
            yield f"{file}: line {position + 1}", Row(columns, _repaired(fields, columns, delimiter), error)
        position += count


def _next_row(lines: list[str], position: int, delimiter: str, *, quoted: bool) -> tuple[list[str], int, str]:
    """The fields of the row that begins at a line, the lines that it takes, and what is wrong with it."""
    ahead = iter(lines[position : position + _LONGEST_ROW])
    reader = csv.reader(
        ahead,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        return next(reader, []), max(1, reader.line_num), ""
    except csv.Error as error:
        return [], 1, str(error)


def _repaired(fields: list[str], columns: list[str], delimiter: str) -> list[str]:
    """The fields of a row with bars, if one bar too few or too many leaves no doubt what is meant.

    Flickr30k's table has `name.jpg| 4   A dog runs.`, without its second bar.
    """
    if delimiter != "|":
        return fields
    fields = [field.strip() for field in fields]
    last = len(columns) - 1
    if columns[last] == "caption":
        match = _NUMBER_AND_CAPTION.fullmatch(fields[-1]) if len(fields) == last else None
        if match:
            return [*fields[:-1], fields[-1].removesuffix(match[1]).strip(), match[1]]
        if len(fields) > len(columns):
            return [*fields[:last], " | ".join(fields[last:])]
    return fields


def _without_header(file: Path, lines: list[str], images: tuple[str, ...]) -> str:
    """The message for a table whose first line does not name the columns of the image and its caption."""
    line = _column_line(lines)[0].strip()
    found = [name for delimiter in _DELIMITERS for name in _names(line, delimiter)]
    missing = missing_fields(found, images, CAPTION_FIELDS)
    fix = f"name the columns there, as {images[0]},caption"
    return f"{file}: wrong fields: {missing} in its first line, {line[:100]!r}; {fix}"


def _column_line(lines: Sequence[str]) -> tuple[str, str]:
    """The line that should name the columns, and their delimiter if Excel's line before it says that."""
    separator = _SEPARATOR.fullmatch(lines[0].strip('" \r\n\ufeff')) if len(lines) > 1 else None
    return (lines[1], separator[1]) if separator else (lines[0] if lines else "", "")


def _names(line: str, delimiter: str) -> list[str]:
    return [column.strip('" \r\n\ufeff').lower() for column in line.split(delimiter)]


def _header(lines: Sequence[str], images: tuple[str, ...]) -> _Header | None:
    """The header of a table whose first lines name columns of the image and its caption.

    Of several such columns the surest is called `image`, or `caption`.
    """
    line, separator = _column_line(lines)
    for delimiter in (*separator, *_DELIMITERS):
        columns = _names(line, delimiter)
        image, caption = first_field(columns, images), first_field(columns, CAPTION_FIELDS)
        if image and caption:
            if len(images) > 1:
                columns[columns.index(image)] = "image"
            columns[columns.index(caption)] = "caption"
            written = next(csv.reader([line.strip()], delimiter=delimiter))
            return _Header(2 if separator else 1, delimiter, written, columns)
    return None
