"""The summary at the end of a command: what was captioned and skipped, and captions that repeat."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.output import Record
from showtell.output.summary import Distinct, Tally
from tests.output.records import CAPTION, SURE, UNSURE

GOOD, BAD = Record("a.jpg", (CAPTION,)), Record("b.jpg", (), "the file is empty")


def summarise(
    records: list[Record],
    caplog: pytest.LogCaptureFixture,
    file: Path | None = None,
    stop: type[BaseException] | None = None,
) -> list[str]:
    """The lines that a command logs at its end, or after an error."""
    caplog.set_level("INFO", "showtell")

    def command() -> None:
        with Tally(file) as tally:
            for record in records:
                tally.add(record)
            if stop:
                raise stop

    if stop is None:
        command()
    else:
        with pytest.raises(stop):
            command()
    return caplog.messages


@pytest.mark.parametrize(
    ("records", "start"),
    [
        ([GOOD] * 2, "captioned 2 in "),
        ([GOOD, BAD], "captioned 1, skipped 1 (b.jpg) in "),
        ([BAD], "captioned 0, skipped 1 (b.jpg) in "),
        ([BAD] * 5 + [GOOD], "captioned 1, skipped 5 (b.jpg, b.jpg, b.jpg and 2 more) in "),
        ([Record("two\nlines", (), "x")], "captioned 0, skipped 1 (two\\nlines) in "),
    ],
)
def test_photos_are_counted(records: list[Record], start: str, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = summarise(records, caplog)
    assert line.startswith(start)
    assert line.endswith(" images/s") == any(record.captions for record in records)


def test_one_captioned_photo_needs_no_summary(caplog: pytest.LogCaptureFixture) -> None:
    assert summarise([GOOD], caplog) == []
    assert summarise([], caplog) == []


def test_the_file_is_named_with_its_photos(caplog: pytest.LogCaptureFixture) -> None:
    assert summarise([GOOD], caplog, Path("out.csv")) == ["out.csv: 1 photo"]
    caplog.clear()
    assert summarise([GOOD, BAD], caplog, Path("out.csv"))[-1] == "out.csv: 2 photos"


def test_after_ctrl_c_there_is_a_summary_of_what_is_done(caplog: pytest.LogCaptureFixture) -> None:
    first, second = summarise([GOOD], caplog, Path("out.csv"), KeyboardInterrupt)
    assert first.startswith("captioned 1 in ")
    assert second == "out.csv: 1 photo done so far"


def test_after_an_error_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    assert summarise([GOOD, BAD], caplog, Path("out.csv"), ValueError) == []


def test_captions_that_repeat_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with Distinct(2) as distinct:
        for captions in ((SURE, UNSURE), (SURE, SURE), (), (UNSURE,)):
            distinct.add(Record("a.jpg", captions))
    (line,) = caplog.messages
    assert line.startswith("2 of 3 photos have fewer than 2 different captions: raise --diversity")
    caplog.clear()
    with Distinct(2) as distinct:
        distinct.add(Record("a.jpg", (SURE, UNSURE)))
    assert caplog.messages == []
