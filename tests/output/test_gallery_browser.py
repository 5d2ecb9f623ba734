"""The gallery in Chromium: sorting, searching, confidence, and where the model looked."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import skimage.data
from PIL import Image

from showtell.captioning.caption import Caption
from showtell.output import GalleryWriter, Record
from tests.browser import Browser, open_browser

pytestmark = pytest.mark.slow


def preview(name: str) -> bytes:
    image, stream = Image.fromarray(getattr(skimage.data, name)()), io.BytesIO()
    image.thumbnail((200, 200))
    image.save(stream, "JPEG")
    return stream.getvalue()


def caption(text: str, confidence: float, *, doubtful: bool = False) -> Caption:
    words = tuple(text.split())
    attention = np.zeros((len(words), 7, 7), np.float32)
    attention[:, 0, 0] = 1
    sure = tuple(np.linspace(0.2, 0.9, len(words)).tolist())
    return Caption(text, words, (-0.5,) * (len(words) + 1), attention, confidence, sure, doubtful)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("gallery")
    with GalleryWriter(folder / "my photos.html") as gallery:
        second = caption("a woman smiling", 0.5)
        gallery.add(
            Record("img10.jpg", (caption("a man in a suit", 0.8), second), preview=preview("astronaut"))
        )
        cat = caption("a close up of a cat", 0.2, doubtful=True)
        gallery.add(Record("img9.jpg", (cat,), preview=preview("chelsea")))
        gallery.add(Record("broken.jpg", (), "the file is empty"))
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.show_as(1000, 700)
        browser.open(folder / "my photos.html")
        yield browser
        ours = "willReadFrequently"  # advice about how the test reads the canvas
        assert not [message for message in browser.messages() if ours not in message]


def names(page: Browser) -> list[str | None]:
    cards = [card for card in page.all("main > figure") if card.is_displayed()]
    return [card.get_attribute("data-name") for card in cards]


def choose(page: Browser, order: str) -> list[str | None]:
    page.one(f"#sort [value={order}]").click()
    return names(page)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("name", ["broken.jpg", "img9.jpg", "img10.jpg"]),
        ("unsure", ["img9.jpg", "img10.jpg", "broken.jpg"]),
        ("sure", ["img10.jpg", "img9.jpg", "broken.jpg"]),
        ("given", ["img10.jpg", "img9.jpg", "broken.jpg"]),
    ],
)
def test_it_is_sorted(page: Browser, order: str, first: list[str]) -> None:
    assert choose(page, order) == first


@pytest.mark.parametrize(
    ("text", "there"), [("CAT", ["img9.jpg"]), ("woman", ["img10.jpg"]), ("img", ["img10.jpg", "img9.jpg"])]
)
def test_it_is_searched_by_words_of_all_captions_and_names(
    page: Browser, text: str, there: list[str]
) -> None:
    choose(page, "given")
    page.one("#find").send_keys(text)
    assert names(page) == there
    assert page.texts("#count") == [f"{len(there)} of 3 photos"]
    page.run(
        "const find = arguments[0]; find.value = ''; find.dispatchEvent(new Event('input'))",
        page.one("#find"),
    )
    assert len(names(page)) == 3


def test_doubtful_only(page: Browser) -> None:
    page.one("#doubtful").click()
    assert names(page) == ["img9.jpg"]
    page.one("#doubtful").click()


def test_a_word_shows_its_confidence_and_where_the_model_looked_by_mouse_and_keyboard(page: Browser) -> None:
    button = page.all("main > figure .caption-word")[1]
    assert button.get_property("textContent") == "man38 %"
    canvas = "arguments[0].closest('figure').querySelector('canvas')"
    painted = f"return {canvas}.getContext('2d').getImageData(0, 0, 99, 99).data.some((value) => value)"
    assert not page.run(painted, button)
    page.hover(button)
    assert page.run(painted, button)
    page.hover(page.one("h1"))
    assert not page.run(painted, button)
    page.run("arguments[0].focus()", button)
    assert page.run(painted, button)
    following = page.keys("TAB")
    assert following.get_property("textContent").startswith("in")
