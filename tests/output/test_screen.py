import io
import logging
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.caption import Caption
from showtell.errors import one_line
from showtell.output import Record, Screen, Tally

CAPTION = Caption("a dog runs", ("a", "dog", "runs"), (-0.5, -1.0, -0.25, -0.125))


@settings(max_examples=40)
@given(st.text())
def test_names_are_one_harmless_line(name: str) -> None:
    shown = one_line(name)
    assert not any(unicodedata.category(char).startswith("C") for char in shown)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1 or any(unicodedata.category(c) in ("Zl", "Zp") for c in shown)


def test_usual_names_stay_as_they_are() -> None:
    for name in ("photos/dog 1.jpg", "façade é.png", "写真.jpg", "Screenshot 1.00\u202fPM.png", "a\\b.jpg"):
        assert one_line(name) == name
    assert one_line("a\nb\x1b[31m\udce9.jpg") == "a\\nb\\x1b[31m\\udce9.jpg"


def test_captions_are_printed_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen() as screen:
        screen.add(Record("a\nb.jpg", (CAPTION, Caption("two", ("two",), (-1.0,)))))
        assert capsys.readouterr().out == "a\\nb.jpg: a dog runs\na\\nb.jpg: two\n", "at once"


def test_doubtful_captions_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    sure, unsure, unknown = (Caption("a dog", (), (-1.0,), confidence=c) for c in (0.6, 0.315, None))
    with Screen() as screen:
        screen.add(Record("a.jpg", (sure, unsure, unknown), min_confidence=0.6))
        screen.add(Record("b.jpg", (unsure,)))
    expected = "a.jpg: a dog\na.jpg: a dog  (doubtful: 32%)\na.jpg: a dog\nb.jpg: a dog\n"
    assert capsys.readouterr().out == expected


def test_a_screen_of_few_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Screen().add(Record("é.jpg", (CAPTION,)))
    assert stream.buffer.getvalue() == b"\\xe9.jpg: a dog runs\n"


def tell(
    caplog: pytest.LogCaptureFixture, records: list[Record], error: BaseException | None = None
) -> list[str]:
    caplog.set_level(logging.INFO, "showtell")
    tally = Tally()
    tally.__enter__()
    for record in records:
        tally.add(record)
    tally.__exit__(type(error) if error else None, error, None)
    return caplog.messages


GOOD, BAD = Record("a.jpg", (CAPTION,)), [Record(f"b{i}.jpg", (), "empty") for i in range(5)]


def test_one_photo_needs_no_summary(caplog: pytest.LogCaptureFixture) -> None:
    assert tell(caplog, [GOOD]) == []


def test_the_summary_counts(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = tell(caplog, [GOOD, BAD[0], GOOD, *BAD[1:]])
    assert line.startswith("captioned 2, skipped 5 (b0.jpg, b1.jpg, b2.jpg and 2 more) in ")
    assert line.endswith("images/s")


def test_the_summary_where_nothing_could_be_shown(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = tell(caplog, [BAD[0]])
    assert line.startswith("captioned 0, skipped 1 (b0.jpg) in ")
    assert "images/s" not in line


def test_after_ctrl_c_there_is_a_summary_and_after_an_error_none(caplog: pytest.LogCaptureFixture) -> None:
    assert tell(caplog, [GOOD], ValueError()) == []
    assert len(tell(caplog, [GOOD], KeyboardInterrupt())) == 1
