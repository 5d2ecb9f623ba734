"""A caption: its text, its repr, and what a notebook shows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.captioning.caption import Caption, CaptionResult, _for_display, as_sentence
from showtell.captioning.captioner import Captioner
from showtell.errors import ImageError


def test_a_caption_prints_as_its_text(tiny_captioner: Captioner, photos: list[Path]) -> None:
    caption = tiny_captioner(photos[0])
    assert f"{caption}" == caption.text == str(caption)
    assert repr(caption) == f"Caption({caption.text!r})"
    assert repr(Caption("a cat", ("a", "cat"), (-1.0,), None, 0.25, None, True)) == (
        "Caption('a cat', confidence=0.25, doubtful=True)"
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_notebook_shows_photo_and_attention(
    tiny_captioner: Captioner, photos: list[Path], in_memory: bool
) -> None:
    given = np.asarray(Image.open(photos[0])) if in_memory else photos[0]
    caption = tiny_captioner(given, attention=True)
    html = caption._repr_html_()
    assert html.count("<img") == 1 + len(caption.words)
    assert "http" not in html.replace("data:image/jpeg;base64,", "")
    plain = tiny_captioner(given)._repr_html_()
    assert plain.count("<img") == 1
    many = tiny_captioner([given] * 17)
    assert many[-1]._repr_html_().count("<img") == (0 if in_memory else 1), "no thumbnails of many arrays"


def test_html_escapes_text_and_does_without_the_photo() -> None:
    words = ("<script>", '"&')
    caption = Caption('<script> "&', words, (-1.0,), None, 0.31, None, True, Path("gone.jpg"))
    html = caption._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "doubtful, confidence 31 %" in html
    assert "<img" not in html


def test_its_probability_is_the_product_of_those_of_its_words() -> None:
    caption = Caption("a cat", ("a", "cat"), (math.log(0.5), math.log(0.25), math.log(0.5)))
    assert math.exp(caption.log_probability) == pytest.approx(0.0625)


def test_the_image_does_not_count_in_comparisons() -> None:
    plain = Caption("a cat", ("a", "cat"), (-1.0,))
    shown = Caption("a cat", ("a", "cat"), (-1.0,), image=Path("a.jpg"))
    assert plain == shown != Caption("a dog", ("a", "dog"), (-1.0,))


@pytest.mark.parametrize(
    ("text", "sentence"), [("a dog", "A dog"), ("élan", "Élan"), ("", ""), ("TV on", "TV on"), ("狗", "狗")]
)
def test_a_screen_reader_gets_a_capital_letter(text: str, sentence: str) -> None:
    assert as_sentence(text) == sentence


CAPTIONS = (Caption("a cat", ("a", "cat"), (-1.0,)), Caption("a dog", ("a", "dog"), (-2.0,)))


def test_files_are_shown_as_they_are_and_images_in_memory_small(photos: list[Path]) -> None:
    large = Image.open(photos[0]).convert("RGB")
    for source, keep in ((photos[0], False), (str(photos[0]), True)):
        shown = _for_display(CaptionResult(("images[0]", source), CAPTIONS), keep)
        assert [caption.image for caption in shown] == [photos[0]] * 2
    (first, _) = _for_display(CaptionResult(("images[0]", large), CAPTIONS), keep=True)
    assert isinstance(first.image, Image.Image)
    assert max(first.image.size) < max(large.size)
    assert [c.image for c in _for_display(CaptionResult(("images[0]", large), CAPTIONS), keep=False)] == [
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("source", "name"),
    [(Path("a.jpg"), "a.jpg"), (b"no image", r"images\[3\]"), (np.zeros(2), r"images\[3\]")],
)
def test_an_image_that_failed_is_named_by_its_file_or_its_place(source: object, name: str) -> None:
    failed = CaptionResult(("images[3]", source), (), ImageError("a.jpg", "truncated"))
    with pytest.raises(ImageError, match=rf"^{name}: truncated$"):
        _for_display(failed, keep=True)


def test_captions_with_attention_can_be_compared_and_hashed() -> None:
    one, same = (Caption("a cat", ("a", "cat"), (-1.0,), np.ones((2, 3, 3), np.float32)) for _ in range(2))
    assert one == same
    assert len({one, same}) == 1
