"""The gallery: one page that needs no other file."""

from __future__ import annotations

import base64
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from showtell.captioning.caption import Caption
from showtell.output import Record
from tests.output.records import CAPTION, Page, jpeg, records, write


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
        "1 could not be decoded",
    ]
    assert all(part in page.text for part in shown)
    assert [tag for tag, _ in page.tags].count("figure") == 3
    assert not {"b"} & {tag for tag, _ in page.tags}
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}], "its own, no other file"
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(items=records)
def test_any_names_and_captions_make_a_whole_page(tmp_path: Path, items: list[Record]) -> None:
    page = Page(write(tmp_path / "out.html", items).decode())
    assert [tag for tag, _ in page.tags].count("figure") == len(items)
