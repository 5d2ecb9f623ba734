"""Records, captions and pages to write and to read back."""

from __future__ import annotations

import io
import os
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

from showtell.captioning.caption import Caption
from showtell.output import Record, make_writer

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


UNSURE = Caption("a cat", ("a", "cat"), (-0.5, -1.0, -0.25), None, 0.25, (0.875, 0.5))
SURE = Caption("a dog", ("a", "dog"), (-0.5, -1.0, -0.25), None, 0.75, (1.0, 0.625))


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
