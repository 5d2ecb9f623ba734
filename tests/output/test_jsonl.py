"""JSON Lines read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from showtell.output import Record
from tests.output.records import records, write


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=records)
def test_json_lines_read_back(tmp_path: Path, items: list[Record]) -> None:
    text = write(tmp_path / "out.jsonl", items).decode()
    values = [json.loads(line) for line in text.split("\n")[:-1]]
    assert [value.pop("image") for value in values] == [item.image for item in items]
    for value, item in zip(values, items, strict=True):
        if not item.captions:
            assert value == {"error": item.error}
            continue
        written = value["captions"]
        assert written[0] == {k: value[k] for k in ("caption", "log_probability")}
        assert [c["caption"] for c in written] == [c.text for c in item.captions]
        assert [c["log_probability"] for c in written] == pytest.approx(
            [c.log_probability for c in item.captions], abs=1e-6
        )
        assert value.keys() == {"caption", "log_probability", "captions"}
