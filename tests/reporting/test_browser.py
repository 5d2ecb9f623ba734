"""The page in a real browser: by mouse, by keyboard alone, on a phone, in the dark; over the dev photos."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from showtell.cli import main
from showtell.reporting import Report, write_report
from showtell.utils.shipped import DEFAULT_MODEL
from tests.browser import Browser, open_browser
from tests.reporting.pages import GRID, make_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(snippets: list[Path]) -> Report:
    return make_report(snippets, models=("mine", "theirs"))


@pytest.fixture
def page(browser: Browser, report: Report, tmp_path: Path) -> Iterator[Browser]:
    """The page of two models and forty photos, newly opened; it may not complain."""
    browser.show_as(1280, 900)
    browser.open(write_report(report, tmp_path / "report.html"))
    yield browser
    assert browser.messages() == []


def captions(browser: Browser) -> list[str]:
    """First caption of each card."""
    return browser.texts(".card > span:nth-of-type(1)")


def sort(browser: Browser, value: str) -> None:
    Select(browser.one("#sort")).select_by_value(value)


def scores(report: Report, model: int = 0) -> dict[str, float]:
    return {image.shown[0].text: round(image.shown[model].score, 3) for image in report.images}


def heat(browser: Browser) -> np.ndarray:  # type: ignore[type-arg]
    """What is drawn over the photo: (H, W, 4)."""
    url = browser.run("return document.getElementById('heat').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


@pytest.mark.parametrize(("value", "sign"), [("worst", 1), ("best", -1)])
def test_photos_are_sorted(page: Browser, report: Report, value: str, sign: int) -> None:
    sort(page, value)
    assert captions(page) == [text for text, _ in sorted(scores(report).items(), key=lambda it: sign * it[1])]


def test_photos_are_sorted_by_what_the_second_model_gains(page: Browser, report: Report) -> None:
    mine, theirs = scores(report), scores(report, 1)
    sort(page, "gain")
    assert captions(page) == sorted(mine, key=lambda text: mine[text] - theirs[text])
    assert not page.one("#of").is_displayed()


def test_the_most_confident_yet_wrong_come_first(page: Browser, report: Report) -> None:
    def rank(values: list[float]) -> list[int]:
        return [sum(other < value for other in values) for value in values]

    sure = rank([image.shown[0].confidence or 0 for image in report.images])
    good = rank([image.shown[0].score for image in report.images])
    sort(page, "confident")
    place = {image.shown[0].text: index for index, image in enumerate(report.images)}
    gains = [sure[place[text]] - good[place[text]] for text in captions(page)]
    assert gains == sorted(gains, reverse=True)
    assert len(gains) == len(report.images)


def test_a_random_order_is_drawn_anew(page: Browser) -> None:
    sort(page, "random")
    first = captions(page)
    page.one("#shuffle").click()
    assert captions(page) != first
    assert sorted(captions(page)) == sorted(first)


def test_captions_are_searched(page: Browser, report: Report) -> None:
    page.one("#find").send_keys("cat dog")
    wanted = [
        image
        for image in report.images
        if {"cat", "dog"} <= {word for shown in image.shown for word in shown.words}
    ]
    assert len(captions(page)) == len(wanted) > 0
    assert page.one("#count").text == f"{len(wanted)} of 40 photos"


def test_a_word_used_in_place_of_another_shows_its_photos(page: Browser) -> None:
    row = '.words.m1 tr:has(.word[data-kind="confused"])'
    wanted = int(page.one(f"{row} td:last-child").text)
    page.one(f"{row} .word").click()
    assert page.one("#count").text == f"{wanted} of 40 photos"
    page.one("#filter").click()


def test_a_word_of_the_tables_shows_its_photos(page: Browser, report: Report) -> None:
    word = page.one('.words.m1 .word[data-kind="often"]')
    candidates = word.text
    word.click()
    wanted = sum(candidates in image.shown[1].words for image in report.images)
    assert page.one("#count").text == f"{wanted} of 40 photos"
    page.one("#filter").click()
    assert page.one("#count").text == "40 photos"


def test_the_mouse_over_a_word_shows_where_the_model_looked(page: Browser, report: Report) -> None:
    sort(page, "data")
    page.all(".card")[7].click()
    shown = report.images[7].shown[0]
    assert shown.attention is not None
    words = page.all(".block.m0 .caption-word")
    assert [word.text.split("\n")[0] for word in words] == list(shown.words)
    for index, word in enumerate(words):
        page.hover(word)
        row, column = np.unravel_index(shown.attention[index].argmax(), GRID)
        seen = heat(page)[..., :3].sum(-1) * (heat(page)[..., 3] > 0)  # light is where it looked
        at = np.unravel_index(seen.argmax(), seen.shape)
        cell = seen.shape[0] // GRID[0]
        assert (at[0] // cell, at[1] // cell) == (row, column)
        sure = f"probability {100 * shown.probabilities[index]:.0f} %"
        assert page.one("#word-note").text == f"Where the model looked for “{shown.words[index]}”, {sure}"
    page.hover(page.one("#people"))
    assert not heat(page).any()


def test_the_keyboard_is_enough(page: Browser, report: Report) -> None:
    """Skip to the photos, sort, open one, walk its words, go on, leave; the focus is where one left."""

    def tab_to(selector: str) -> None:
        while not page.run("return document.activeElement.matches(arguments[0])", selector):
            page.keys("TAB")

    assert page.keys("TAB").text == "Skip to the photos"
    page.keys("ENTER")
    tab_to("#sort")
    page.keys("a")  # as in the dataset
    tab_to(".card")
    page.keys("ENTER")
    assert page.one("#dialog").is_displayed()
    assert report.images[0].name in page.one("#dialog-title").text
    tab_to(".caption-word")
    assert heat(page).any()
    assert "looked for “a”" in page.one("#word-note").text
    page.keys("ARROW_RIGHT", "ARROW_RIGHT")
    assert report.images[2].name in page.one("#dialog-title").text
    page.keys("ESCAPE")
    assert not page.one("#dialog").is_displayed()
    # The event of the closed dialog, which moves the focus, comes later.
    here = report.images[2].shown[0].text
    WebDriverWait(page.driver, 10).until(lambda driver: here in driver.switch_to.active_element.text)


def test_a_phone_shows_all_of_it(page: Browser) -> None:
    page.show_as(375, 812, phone=True)
    overflow = "return document.scrollingElement.scrollWidth - window.innerWidth"
    assert page.run(overflow) == 0
    page.all(".card")[0].click()
    assert page.run(overflow) == 0
    small = """return [...document.querySelectorAll('button, select, input')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width && (box.height < 24 || box.width < 20)}).length"""
    assert page.run(small) == 0
    assert page.run("const d = document.getElementById('dialog'); return d.scrollWidth - d.clientWidth") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_the_system_and_can_be_read(page: Browser, dark: bool) -> None:
    """The contrast of text is WCAG 2.2's 4.5 at least."""
    page.show_as(1280, 900, dark=dark)

    def light(colour: str) -> float:
        channels = np.array([int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    ground = light(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.05) is dark
    for selector in ("h1", ".dim", ".note", "th small", ".word", "#cards .facts", "nav a", "summary"):
        color = page.run("return getComputedStyle(document.querySelector(arguments[0])).color", selector)
        low, high = sorted([light(color), ground])
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{selector}: {color}"


def test_the_dev_photos(browser: Browser, shared_data: Path, tmp_path: Path) -> None:
    """The shipped model's captions of 1,000 photos: sorted, searched and opened."""
    root = shared_data / "flickr8k"
    assert main(["report", "--data", str(root), "--java", "false", "--out", str(tmp_path)]) == 0
    path = tmp_path / f"{DEFAULT_MODEL}.html"
    assert path.stat().st_size < 10e6
    browser.show_as(1280, 900)
    browser.open(path)
    assert browser.one("#count").text == "1,000 photos"

    def first_scores() -> list[float]:
        return [float(text.split()[1].strip(",")) for text in browser.texts(".card .facts")][:20]

    sort(browser, "best")
    best = first_scores()
    assert best == sorted(best, reverse=True)
    assert best[0] > 2
    sort(browser, "worst")
    worst = first_scores()
    assert worst == sorted(worst)
    assert worst[-1] < 0.1
    browser.one("#find").send_keys("dog")
    count = int(browser.one("#count").text.split()[0])
    assert 100 < count < 600
    browser.all(".card")[0].click()
    browser.hover(browser.all(".caption-word")[1])
    drawn = heat(browser)
    assert len(np.unique(drawn[..., 3])) > 20
    screen = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png()))
    assert len(screen.getcolors(1 << 24) or []) > 5_000  # a photo is to be seen
    browser.keys("ESCAPE")
    assert browser.messages() == []
