"""Records: which captions are doubtful, in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from showtell.output import Record
from tests.output.records import SURE, UNSURE, write


def test_confidence_and_doubt_are_written(tmp_path: Path) -> None:
    items = [Record("a.jpg", (SURE, UNSURE), min_confidence=0.5), Record("b.jpg", (UNSURE,))]
    first, second = map(json.loads, write(tmp_path / "out.jsonl", items).decode().splitlines())
    assert [(c["confidence"], c["doubtful"]) for c in first["captions"]] == [
        (0.75, False),
        (0.25, True),
    ]
    assert (first["words"], first["word_confidences"]) == (["a", "dog"], [1.0, 0.625])
    assert (second["confidence"], second["doubtful"]) == (0.25, False)
    rows = csv.DictReader(io.StringIO(write(tmp_path / "out.csv", items).decode(), newline=""))
    assert [(row["confidence"], row["doubtful"]) for row in rows] == [
        ("0.7500", ""),
        ("0.2500", "yes"),
        ("0.2500", ""),
    ]
    doubtful = [Record("a.jpg", (UNSURE, SURE), min_confidence=0.5)]
    page = write(tmp_path / "out.html", items + doubtful).decode()
    assert page.count("doubtful: 25 % confidence") == 2  # of a best caption, and of a further one
    assert page.count(" data-doubtful>") == 1
    assert page.count("<small>25 % confidence</small>") == 1


def test_doubt_is_the_models_own_unless_a_least_confidence_is_asked_for() -> None:
    own, unknown = replace(UNSURE, doubtful=True), replace(UNSURE, confidence=None)
    for limit, caption, doubtful in (
        (None, own, True),
        (None, UNSURE, False),
        (0.0, own, False),
        (0.26, UNSURE, True),
        (0.26, unknown, False),
    ):
        assert Record("a.jpg", (caption,), min_confidence=limit).doubtful(caption) is doubtful
