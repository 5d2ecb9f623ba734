"""A caption as HTML: text is escaped, and tiles are bright where the attention is."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from showtell.web.caption_card import caption_html

PHOTO = Image.new("RGB", (200, 100), (200, 200, 200))


def images(html: str) -> list[Image.Image]:
    """The images of the page, decoded."""
    parts = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(part))) for part in parts]


def test_text_and_words_are_escaped() -> None:
    attention = np.full((1, 2, 2), 0.25, np.float32)
    html = caption_html("<b>", ["<i>"], image=PHOTO, attention=attention, confidence=0.314, doubtful=True)
    assert not re.search("<b>|<i>", html)
    assert html.count("&lt;b&gt;") >= 1
    assert html.count("&lt;i&gt;") >= 1
    assert "31 %" in html
    assert "doubtful" in html


@pytest.mark.parametrize(
    ("image", "words", "count"), [(None, 0, 0), (None, 3, 0), (PHOTO, 0, 1), (PHOTO, 3, 4)]
)
def test_there_is_a_tile_for_each_word_of_a_photo(image: Image.Image | None, words: int, count: int) -> None:
    attention = np.full((words, 2, 2), 0.25, np.float32) if words else None
    assert len(images(caption_html("a b c", ["a", "b", "c"], image=image, attention=attention))) == count


def test_a_tile_is_bright_where_the_attention_is() -> None:
    attention = np.zeros((1, 4, 4), np.float32)
    attention[0, 1, 3] = 1
    photo, tile = images(caption_html("a", ["a"], image=PHOTO, attention=attention))
    assert photo.size == (200, 100)
    assert tile.size == (96, 48)
    light = np.asarray(tile.convert("L"), float)
    assert light[18, 84] > 180
    assert light[6:, :48].max() < 0.35 * 200
    assert PHOTO.size == (200, 100), "the photo is not changed"


def test_the_model_is_not_in_doubt_unless_it_is_given() -> None:
    html = caption_html("a cat", ["a", "cat"])
    assert "doubtful" not in html
    assert "%" not in html
