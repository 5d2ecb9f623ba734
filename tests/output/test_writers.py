import base64
import csv
import io
import json
import os
import signal
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.captioning.caption import Caption
from showtell.errors import ShowtellError, UsageError
from showtell.output import WRITERS, Record, make_writer
from showtell.output.csv_file import _FORMULA
from showtell.output.file_writer import uninterrupted

names = st.binary(min_size=1, max_size=12).map(os.fsdecode)  # what a file may be called, text or not
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
log_probs = st.lists(st.floats(-40, 0), min_size=1, max_size=4).map(tuple)
captions = st.lists(st.builds(Caption, texts, st.just(()), log_probs), min_size=1, max_size=3).map(tuple)
records = st.lists(
    st.builds(Record, names, captions) | st.builds(Record, names, st.just(()), texts.filter(bool)), max_size=5
)
CAPTION = Caption("a dog runs", ("a", "dog", "runs"), (-0.5, -1.0, -0.25, -0.125))


def write(path: Path, items: list[Record]) -> bytes:
    with make_writer(path) as writer:
        for item in items:
            writer.add(item)
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=records)
def test_json_lines_read_back(tmp_path: Path, items: list[Record]) -> None:
    text = write(tmp_path / "out.jsonl", items).decode()
    values = [json.loads(line) for line in text.split("\n")[:-1]]
    assert [value.pop("image") for value in values] == [item.image for item in items]
    for value, item in zip(values, items, strict=True):
        if not item.captions:
            assert value == {"error": item.error}
            continue
        found = value["captions"]
        assert found[0] == {k: value[k] for k in ("caption", "log_probability")}
        assert [c["caption"] for c in found] == [c.text for c in item.captions]
        assert [c["log_probability"] for c in found] == pytest.approx(
            [c.log_probability for c in item.captions], abs=1e-6
        )
        assert value.keys() == {"caption", "log_probability", "captions"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=records)
def test_csv_reads_back(tmp_path: Path, items: list[Record]) -> None:
    text = write(tmp_path / "out.csv", items).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    expected = [
        (name, f"'{caption.text}" if caption.text.startswith(_FORMULA) else caption.text, str(rank), "")
        for item in items
        for written in [item.image.encode("utf-8", "backslashreplace").decode()]
        for name in [f"./{written}" if written.startswith(_FORMULA) else written]
        for rank, caption in enumerate(item.captions, 1) or [(0, None)]
        if caption
    ]
    assert [(r["image"], r["caption"], r["rank"], r["error"]) for r in rows if r["rank"]] == expected
    assert [r["error"] for r in rows if not r["rank"]] == [i.error for i in items if not i.captions]
    assert len({len(row) for row in rows}) <= 1


UNSURE = Caption("a cat", ("a", "cat"), (-0.5, -1.0, -0.25), None, 0.25, (0.875, 0.5))
SURE = Caption("a dog", ("a", "dog"), (-0.5, -1.0, -0.25), None, 0.75, (1.0, 0.625))


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


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), "teal").save(stream, "JPEG")
    return stream.getvalue()


def test_the_gallery_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    odd = '<script>alert(1)</script> & "quotes".jpg'
    items = [
        Record("dog.jpg", (CAPTION, Caption("a second one", (), (-9.0,))), preview=jpeg()),
        Record(odd, (Caption('a "sign" <b>', (), (-1.0,)),), preview=jpeg()),
        Record("bad.jpg", (), "the file is empty"),
    ]
    text = write(tmp_path / "out.html", items).decode()
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ["a dog runs", 'a "sign" <b>']
    for image in images:
        kind, data = str(image["src"]).split(",")
        assert kind == "data:image/jpeg;base64"
        assert base64.b64decode(data) == jpeg()
        assert image["loading"] == "lazy"
    shown = [
        "a second one",
        odd,
        "the file is empty",
        "bad.jpg",
        "2 photos captioned",
        "1 could not be shown",
    ]
    assert all(part in page.text for part in shown)
    assert [tag for tag, _ in page.tags].count("figure") == 3
    assert not {"b"} & {tag for tag, _ in page.tags}
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}], "its own, no other file"
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(items=records)
def test_any_names_and_captions_make_a_whole_page(tmp_path: Path, items: list[Record]) -> None:
    page = Page(write(tmp_path / "out.html", items).decode())
    assert [tag for tag, _ in page.tags].count("figure") == len(items)


@pytest.mark.parametrize("suffix", [*WRITERS, ".HTML"])
def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "made" / f"out{suffix}"
    with make_writer(path) as writer:
        writer.add(Record("a.jpg", (CAPTION,)))
        assert not path.exists()
        (partial,) = path.parent.iterdir()
        assert "a dog runs" in partial.read_text(), "records are on the disk as they come"
    assert "a dog runs" in path.read_text()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", WRITERS)
def test_ctrl_c_keeps_what_is_done(tmp_path: Path, suffix: str) -> None:
    complete = write(tmp_path / f"out{suffix}", [Record("a.jpg", (CAPTION,))])

    def stopped() -> None:
        with make_writer(tmp_path / f"out{suffix}") as writer:
            writer.add(Record("a.jpg", (CAPTION,)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / f"out{suffix}").read_bytes() == complete
    assert len(list(tmp_path.iterdir())) == 1


def test_ctrl_c_before_anything_is_done_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), make_writer(path):
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_the_part_that_was_done(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")

    def failed() -> None:
        with make_writer(path) as writer:
            writer.add(Record("a.jpg", (CAPTION,)))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the one raised above
        failed()
    assert path.read_text() == "old"
    (partial,) = tmp_path.glob("*.partial")
    assert json.loads(partial.read_text())["caption"] == "a dog runs"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told_with_the_file_s_name(tmp_path: Path) -> None:
    def fill() -> None:
        with make_writer(tmp_path / "out.jsonl") as writer:
            writer._file.close()
            writer._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
            writer.add(Record("a.jpg", (CAPTION,)))

    with pytest.raises(ShowtellError, match=r"out\.jsonl: cannot be written \(No space left on device\)"):
        fill()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["captions.txt", "captions", "captions.jsonl.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"captions are written to \.jsonl, \.csv or \.html files"):
        make_writer(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(UsageError, match=r"out\.csv: this is a folder"):
        make_writer(tmp_path / "out.csv")


def test_a_place_that_cannot_be_written_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"out\.csv: cannot be written"),
        make_writer(tmp_path / "file/out.csv"),
    ):
        pass


def test_ctrl_c_waits_for_the_end_of_a_record() -> None:
    steps = []

    def interrupted() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("went on")
        steps.append("not reached")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["went on"]
    assert signal.getsignal(signal.SIGINT) is before
