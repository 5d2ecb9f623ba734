"""Alt texts in a table `image,caption`: what a review saves, `--output` writes, or a person makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from showtell.alt.survey import Missing
from showtell.data.annotations.csv_tables import rows
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.names import name_key
from showtell.errors import AnnotationError, UsageError

_LINE: Final = re.compile(r":\d+ ")


def text_name(missing: Missing) -> str:
    """What a gap is called in a table: its page and the address there without the line, or its image file.

    So a text still belongs to its image when lines were added above it; an image that a page shows twice gets
    one text.
    """
    return _key(missing.name)


def read_texts(file: Path) -> dict[str, str]:
    """The texts of a table by `text_name`; rows without a text are left out.

    Raises:
        UsageError: there is no such file.
        AnnotationError: it has no columns image and caption, or a row that cannot be used.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file; name the table of the texts")
    texts: dict[str, str] = {}
    for entry, row in rows(file):
        try:
            record = row.record()
        except EntryError as error:
            raise AnnotationError(f"{entry}: {error}; correct the row") from error
        text = " ".join(record["caption"].split())
        if text:
            texts.setdefault(_key(record["image"]), text)  # of several captions the first is the best
    return texts


def _key(name: str) -> str:
    return name_key(_LINE.sub(" ", name, count=1))
