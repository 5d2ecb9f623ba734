"""CSV: one row per caption."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from showtell.output.file_writer import FileWriter
from showtell.output.record import Record
from showtell.utils.csv_cells import FORMULA, name_cell

COLUMNS = ("image", "caption", "log_probability", "confidence", "doubtful", "rank", "error")


class CsvWriter(FileWriter):
    """Columns `COLUMNS`. The captions of a photo are rows that follow each other, `rank` 1 is the best.

    A name or caption that a spreadsheet would take for a formula (`=...`) begins with `./` or `'`.

    `confidence` is empty for a model that has not been calibrated; `doubtful` is empty, or `yes`.

    A photo that cannot be decoded has one row, with an `error` and no caption. Without such rows the file
    can be read as annotations again.
    """

    def head(self) -> str:
        """The names of the columns."""
        return _rows([COLUMNS])

    def format(self, record: Record) -> str:
        """A row for each caption."""
        if not record.captions:
            return _rows([(name_cell(record.image), "", "", "", "", "", record.error)])
        return _rows(
            (
                name_cell(record.image),
                _text_cell(caption.text),
                f"{caption.log_probability:.6f}",
                "" if caption.confidence is None else f"{caption.confidence:.4f}",
                "yes" if record.doubtful(caption) else "",
                rank,
                "",
            )
            for rank, caption in enumerate(record.captions, start=1)
        )


def _text_cell(text: str) -> str:
    """Words that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _rows(rows: Iterable[tuple[Any, ...]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()
