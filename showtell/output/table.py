"""CSV: one row a caption."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from showtell.output.record import Record
from showtell.output.writer import FileWriter

COLUMNS = ("image", "caption", "log_probability", "confidence", "doubtful", "rank", "error")


class CsvWriter(FileWriter):
    """Columns `COLUMNS`. The captions of a photo are rows that follow each other, `rank` 1 is the best.

    `confidence` is empty of a model that has not been calibrated; `doubtful` is empty, or `yes`.

    A photo that cannot be shown has one row, with an `error` and no caption. Without such rows the file can
    be read as annotations again.
    """

    def head(self) -> str:
        """The names of the columns."""
        return _rows([COLUMNS])

    def format(self, record: Record) -> str:
        """A row for each caption."""
        if not record.captions:
            return _rows([(record.image, "", "", "", "", "", record.error)])
        return _rows(
            (
                record.image,
                caption.text,
                f"{caption.log_probability:.6f}",
                "" if caption.confidence is None else f"{caption.confidence:.4f}",
                "yes" if record.doubtful(caption) else "",
                rank,
                "",
            )
            for rank, caption in enumerate(record.captions, start=1)
        )


def _rows(rows: Iterable[tuple[Any, ...]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()
