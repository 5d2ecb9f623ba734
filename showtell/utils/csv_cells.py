"""Cells of CSV files that no spreadsheet takes for a formula."""

from __future__ import annotations

from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets compute cells that begin with these."""


def name_cell(name: str) -> str:
    """A file's name that no spreadsheet takes for a formula; it still names the file."""
    return f"./{name}" if name.startswith(FORMULA) else name
