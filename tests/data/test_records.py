"""The record of an image: which of its captions are references."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.records import CaptionAuthor, CaptionedImage


@pytest.mark.parametrize(
    ("authors", "references"),
    [
        ((), ("one", "two", "three")),  # people wrote all of them
        (("person",) * 3, ("one", "two", "three")),
        (("model", "person", "model"), ("two",)),
        (("model",) * 3, ()),
    ],
)
def test_references_are_what_people_wrote(
    authors: tuple[CaptionAuthor, ...], references: tuple[str, ...]
) -> None:
    image = CaptionedImage(Path("a.jpg"), ("one", "two", "three"), "val", "1", authors)
    assert image.references == references


def test_each_caption_has_an_author() -> None:
    image = CaptionedImage(Path("a.jpg"), ("one", "two"), "val", "1", ("model",))
    with pytest.raises(ValueError, match="shorter"):
        _ = image.references
