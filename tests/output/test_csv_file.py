"""CSV reads back, and holds no formula."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from showtell.output import Record
from showtell.utils.csv_cells import FORMULA
from tests.output.records import records, write


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=records)
def test_csv_reads_back(tmp_path: Path, items: list[Record]) -> None:
    text = write(tmp_path / "out.csv", items).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    expected = [
        (name, f"'{caption.text}" if caption.text.startswith(FORMULA) else caption.text, str(rank), "")
        for item in items
        for written in [item.image.encode("utf-8", "backslashreplace").decode()]
        for name in [f"./{written}" if written.startswith(FORMULA) else written]
        for rank, caption in enumerate(item.captions, 1) or [(0, None)]
        if caption
    ]
    assert [(r["image"], r["caption"], r["rank"], r["error"]) for r in rows if r["rank"]] == expected
    assert [r["error"] for r in rows if not r["rank"]] == [i.error for i in items if not i.captions]
    assert len({len(row) for row in rows}) <= 1
