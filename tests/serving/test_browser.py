"""The page in a real browser, with the shipped model: drop, look, choose, copy; keyboard, phone, the dark."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.wait import WebDriverWait
from selenium_axe_python import Axe

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.utils.shipped import DEFAULT_MODEL
from tests.browser import Browser, open_browser
from tests.serving.service import Service, running

pytestmark = pytest.mark.slow

DROP = """
const [type, files] = arguments;
const transfer = new DataTransfer();
for (const [name, kind, text] of files)
  transfer.items.add(
    new File([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))], name, { type: kind }));
const settings = { bubbles: true, cancelable: true };
document.getElementById("drop").dispatchEvent(type === "drop"
  ? new DragEvent("drop", { ...settings, dataTransfer: transfer })
  : new ClipboardEvent("paste", { ...settings, clipboardData: transfer }));
"""
COVERED = "return arguments[0].toDataURL()"
EMPTY = """
const empty = document.createElement("canvas");
empty.width = arguments[0].width;
empty.height = arguments[0].height;
return arguments[0].toDataURL() === empty.toDataURL();
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(DEFAULT_MODEL) as service:
        yield service


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def expected(photos: list[Path]) -> dict[str, list[str]]:
    """The three captions of each photo that the page should show."""
    config = SearchConfig(beam_size=3, num_captions=3)
    captions_of_photos = Captioner.load(DEFAULT_MODEL).caption(photos, config)
    return {
        path.name: [caption.text for caption in captions]
        for path, captions in zip(photos, captions_of_photos, strict=True)
    }


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Browser]:
    """The page, newly opened; it may not complain."""
    browser.show_as(1280, 900)
    browser.open(service.address)
    browser.messages()
    wait(browser, lambda: f"Model: {DEFAULT_MODEL}" in browser.one("#model").text)
    yield browser
    assert browser.messages() == []


def wait(browser: Browser, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(browser.driver, 30, 0.05).until(lambda _driver: condition())


def give(page: Browser, paths: list[Path], how: str = "drop") -> None:
    """Drop or paste photos, and wait for their captions."""
    before = len(page.all(".card"))
    texts = [[path.name, "image/jpeg", base64.b64encode(path.read_bytes()).decode()] for path in paths]
    page.run(DROP, how, texts)
    wait(page, lambda: len(page.all(".card .caption")) == before + len(paths))


def captions(page: Browser) -> list[str]:
    return page.texts(".others [aria-pressed=true]")


def read_clipboard(page: Browser) -> str:
    permission = {"origin": page.run("return location.origin"), "permissions": ["clipboardReadWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", permission)
    script = "const done = arguments[arguments.length - 1]; navigator.clipboard.readText().then(done, done);"
    return str(page.driver.execute_async_script(script))


def serious(page: Browser) -> list[tuple[str, str, str]]:
    """What axe-core finds that is serious or critical."""
    axe = Axe(page.driver)
    axe.inject()
    violations = axe.run()["violations"]
    return [
        (violation["id"], violation["impact"], violation["nodes"][0]["html"][:200])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]


def test_two_dropped_photos_get_the_offline_captions(
    page: Browser, photos: list[Path], expected: dict[str, list[str]]
) -> None:
    give(page, photos[:2])
    assert page.texts(".card h3") == [path.name for path in photos[:2]]
    assert captions(page) == [expected[path.name][0] for path in photos[:2]]
    assert page.texts(".card:first-child .others button") == expected[photos[0].name]
    assert page.one("#count").text == "2 of 2"
    alt = page.one(".card img").get_attribute("alt")
    assert alt.lower() == expected[photos[0].name][0]


def test_moving_over_words_changes_the_overlay(page: Browser, photos: list[Path]) -> None:
    give(page, photos[:1])
    canvas, words = page.one(".card canvas"), page.all(".card .caption-word")
    assert page.run(EMPTY, canvas)
    assert page.one(".card .note").text.startswith("Confidence ")
    seen = set()
    for word in words[:3]:
        page.hover(word)
        seen.add(page.run(COVERED, canvas))
        assert "probability" in page.one(".card .note").text
    assert len(seen) == 3
    page.hover(page.one("h1"))
    assert page.run(EMPTY, canvas)


def test_another_caption_can_be_chosen(
    page: Browser, photos: list[Path], expected: dict[str, list[str]]
) -> None:
    give(page, photos[:1])
    page.all(".others button")[1].click()
    assert captions(page) == [expected[photos[0].name][1]]
    assert page.driver.switch_to.active_element.text == expected[photos[0].name][1]


def test_captions_are_copied_as_text_as_alt_and_as_csv(
    page: Browser, photos: list[Path], expected: dict[str, list[str]]
) -> None:
    give(page, photos[:2], how="paste")
    text, alt = (page.all(".card:first-child .tools button")[i] for i in (0, 1))
    text.click()
    wait(page, lambda: text.text == "Copied")
    first = expected[photos[0].name][0]
    assert read_clipboard(page) == first
    alt.click()
    wait(page, lambda: alt.text == "Copied")
    assert read_clipboard(page) == f'alt="{first[0].upper()}{first[1:]}"'
    page.one("#copy-csv").click()
    wait(page, lambda: page.one("#copy-csv").text == "Copied")
    rows = list(csv.DictReader(io.StringIO(read_clipboard(page))))
    assert [(row["image"], row["caption"]) for row in rows] == [
        (path.name, expected[path.name][0]) for path in photos[:2]
    ]


def test_the_csv_can_be_saved(page: Browser, photos: list[Path], tmp_path: Path) -> None:
    give(page, photos[:1])
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.driver.execute_cdp_cmd("Page.setDownloadBehavior", behaviour)
    page.one("#save-csv").click()
    saved = tmp_path / "captions.csv"
    wait(page, saved.exists)
    assert next(csv.DictReader(io.StringIO(saved.read_text())))["image"] == photos[0].name


def test_keyboard_alone(page: Browser, photos: list[Path], expected: dict[str, list[str]]) -> None:
    assert page.keys("TAB").get_attribute("id") == "choose"
    page.one("#files").send_keys("\n".join(map(str, photos[:2])))  # what the system's own dialog would do
    wait(page, lambda: len(page.all(".card .caption")) == 2)
    focused = page.keys("TAB", "TAB", "TAB", "TAB", "TAB")  # the camera, three buttons, the first word
    assert focused.get_attribute("class").split() == ["caption-word", "on"]
    canvas = page.one(".card canvas")
    first = page.run(COVERED, canvas)
    page.keys("TAB")
    assert page.run(COVERED, canvas) != first
    assert not page.run(EMPTY, canvas)
    words = len(page.all(".card:first-child .caption-word"))
    focused = page.keys(*["TAB"] * (words - 1))
    assert focused.text == expected[photos[0].name][0]
    page.keys("TAB", "ENTER")
    assert captions(page)[0] == expected[photos[0].name][1]
    focused = page.keys("TAB", "TAB", "TAB", "TAB")
    assert focused.get_attribute("aria-label") == f"Remove {photos[0].name}"
    focused = page.keys("ENTER")
    assert page.texts(".card h3") == [photos[1].name]
    assert focused.text == photos[1].name


def test_a_screen_reader_hears_of_captions(
    page: Browser, photos: list[Path], expected: dict[str, list[str]]
) -> None:
    status = page.one("#status")
    assert status.get_attribute("role") == "status"
    give(page, photos[:1])
    heard = status.get_property("textContent")
    assert heard.removesuffix(" (doubtful)") == f"{photos[0].name}: {expected[photos[0].name][0]}"


def test_a_photo_that_cannot_be_decoded_shows_the_reason_and_can_be_tried_again(
    browser: Browser, service: Service, photos: list[Path]
) -> None:
    browser.show_as(1280, 900)
    browser.open(service.address)
    wait(browser, lambda: f"Model: {DEFAULT_MODEL}" in browser.one("#model").text)
    browser.run(DROP, "drop", [["a.jpg", "image/jpeg", "AAAA"], ["b.txt", "text/plain", "AAAA"]])
    wait(browser, lambda: browser.all(".failed"))
    assert "not an image of a known format" in browser.one(".failed").text
    assert browser.texts(".card h3") == ["a.jpg"]
    button = browser.all(".tools button")[0]
    assert button.text == "Try again"
    button.click()
    wait(browser, lambda: browser.all(".failed"))
    assert serious(browser) == []
    messages = browser.messages()
    assert all("422" in message for message in messages), messages


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "phone"), [(1280, False), (375, True)])
def test_no_serious_finding_of_axe_and_no_sideways_scrolling(
    page: Browser, photos: list[Path], dark: bool, width: int, phone: bool
) -> None:
    page.show_as(width, 800, dark=dark, phone=phone)
    assert serious(page) == []
    give(page, photos)
    page.hover(page.all(".card .caption-word")[1])
    assert serious(page) == []
    assert page.run("return document.documentElement.scrollWidth") <= width


def test_on_a_phone_words_are_large_enough_and_tapping_them_works(page: Browser, photos: list[Path]) -> None:
    page.show_as(375, 800, phone=True)
    give(page, photos[:1])
    for word in page.all(".caption-word, .tools button, .others button"):
        assert min(word.size["width"], word.size["height"]) >= 24
    page.all(".caption-word")[1].click()
    assert not page.run(EMPTY, page.one(".card canvas"))


def test_the_camera_takes_a_photo(service: Service, tmp_path: Path) -> None:
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with open_browser(tmp_path / "profile", *flags) as browser:
        browser.open(service.address)
        browser.one("#camera-open").click()
        wait(browser, lambda: browser.run("return document.getElementById('video').videoWidth"))
        assert serious(browser) == []
        browser.one("#camera-take").click()
        wait(browser, lambda: browser.all(".card .caption"))
        assert browser.texts(".card h3")[0].startswith("camera ")
        assert browser.run("return document.getElementById('video').srcObject") is None
        assert browser.messages() == []


def test_a_token_is_asked_for(browser: Browser, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_TOKEN", "open sesame")
    with running(DEFAULT_MODEL) as service:
        browser.show_as(1280, 900)
        browser.open(service.address)
        wait(browser, lambda: browser.one("#token").is_displayed())
        assert serious(browser) == []
        browser.one("#token").send_keys("wrong\n")
        wait(browser, lambda: "not the right one" in browser.one("#status").get_property("textContent"))
        browser.one("#token").clear()
        browser.one("#token").send_keys("open sesame\n")
        wait(browser, lambda: not browser.one("#token").is_displayed())
        give(browser, photos[:1])
    browser.messages()


def test_the_documents_show_the_interface(browser: Browser, service: Service) -> None:
    browser.show_as(1280, 900)
    browser.messages()
    browser.open(f"{service.address}/docs")
    wait(browser, lambda: "/v1/captions" in browser.one("#swagger-ui").text)
    assert browser.messages() == []
