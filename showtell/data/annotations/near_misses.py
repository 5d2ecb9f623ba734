"""Suggestions for a folder that is almost a dataset of a known format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from showtell.data.annotations.csv_tables import column_line
from showtell.data.annotations.fields import WANTED
from showtell.data.annotations.listing import files_in, folders_in
from showtell.data.annotations.reading import first_line
from showtell.data.find_images import IMAGE_SUFFIXES

SPREADSHEETS: Final = (".xlsx", ".xls", ".ods", ".numbers")
_SAVE_SHEET: Final = "a spreadsheet: save it as captions.csv (CSV in UTF-8) with the columns image,caption"
_MOST_NAMED = 3


def nearest(root: Path, formats: Sequence[str]) -> str:
    """A message for a folder (or file) of no known format: its files, and the option that helps.

    Args:
        root: the folder or file.
        formats: names of the known formats.
    """
    known = (
        f"name the annotation file with --data.root, or its format with --data.format ({', '.join(formats)})"
    )
    if root.suffix.lower() in SPREADSHEETS:
        return _SAVE_SHEET
    if not root.is_dir():
        return f"it has {_first_fields(root)}: write {WANTED}, or {known}" if _first_fields(root) else known
    homes = [root, *folders_in(root, 2)]
    files = [file for home in homes for file in files_in(home, ".json", ".jsonl", ".ndjson", ".csv", ".tsv")]
    described = [(file, _first_fields(file)) for file in files]
    if several := _several(root, [file for file, fields in described if _nearly(fields)]):
        return several
    for file, fields in described:
        if fields:
            return f"{file.relative_to(root)} has {fields}: name its fields {WANTED}, or {known}"
    if files:
        return f"{_names(root, files)}: {known}"
    texts = [file for home in homes for file in files_in(home, ".txt")]
    images = sum(len(files_in(home, *IMAGE_SUFFIXES)) for home in homes)
    sheets = [file for home in homes for file in files_in(home, *SPREADSHEETS)]
    if sheets:
        return f"{_names(root, sheets)}: {_SAVE_SHEET}"
    if texts:
        return (
            f"{_names(root, texts)}, and {images:,} images: a text file of captions has the name of its image"
            " and is beside it (photo.txt, photo.jpg); a table is captions.csv with the columns image,caption"
        )
    if images:
        return (
            f"{images:,} images, and no file of captions: write captions.csv with the columns image,caption"
            " there, or name the annotation file with --data.root and this folder with --data.images"
        )
    return "neither images nor annotation files: correct the path"


def _names(root: Path, files: Sequence[Path]) -> str:
    names = [str(file.relative_to(root)) for file in files[:_MOST_NAMED]]
    more = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
    return ", ".join(names) + more


def _nearly(fields: str) -> bool:
    return "image" in fields and "caption" in fields


def _several(root: Path, files: Sequence[Path]) -> str:
    """A suggestion if several files have captions and none has priority."""
    return (
        f"several files have captions: {_names(root, files)}; name one with --data.root"
        if len(files) > 1
        else ""
    )


def _first_fields(file: Path) -> str:
    """The names of the fields of the first entry of a file, joined; empty if there are none."""
    if file.suffix.lower() in (".csv", ".tsv"):
        line = column_line(file).strip()
        return f"the columns {line[:100]}" if line else ""
    try:
        record = json.loads(first_line(file))
    except ValueError:
        return ""
    if isinstance(record, list):
        record = record[0] if record else None
    return f"the fields {', '.join(map(str, record))}"[:110] if record and isinstance(record, dict) else ""
