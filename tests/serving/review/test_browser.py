"""The page of a review in a real browser, by keyboard alone."""

from __future__ import annotations

import csv
import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.wait import WebDriverWait
from selenium_axe_python import Axe

from tests.browser import Browser, open_browser
from tests.conftest import make_snippets
from tests.serving.service import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_snippets(tmp_path / "photos", 6)
    (tmp_path / "photos" / "0005.jpg").write_bytes(b"no photo")
    return tmp_path / "photos"


def wait(browser: Browser, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(browser.driver, 60, 0.05).until(lambda _driver: condition())


def begin(browser: Browser, address: str, name: str) -> None:
    browser.show_as(1280, 900)
    browser.open(address)
    wait(browser, lambda: browser.one("#name").text == name)


def press(browser: Browser, *keys: str, then: str) -> None:
    """Press keys; wait until the page shows this photo, or that all are decided."""
    browser.keys(*keys)
    wait(browser, lambda: then in (browser.one("#name").text, browser.one("#done-title").text))


def rows(folder: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO((folder / "captions.csv").read_text(encoding="utf-8"))))[1:]


def text(browser: Browser) -> str:
    return str(browser.one("#caption").get_property("value"))


def test_a_folder_is_reviewed_by_keyboard_alone(browser: Browser, model: Path, folder: Path) -> None:
    with running(model, "--review", str(folder)) as service:
        begin(browser, service.address, "0000.jpg")
        first = text(browser)
        press(browser, "ENTER", then="0001.jpg")  # accepts
        assert rows(folder) == [["0000.jpg", first]]
        browser.keys("e", "END", *" by hand")  # edits
        edited = text(browser)
        assert edited.endswith(" by hand")
        press(browser, "ENTER", then="0002.jpg")
        assert rows(folder)[1] == ["0001.jpg", edited]
        press(browser, "s", then="0003.jpg")  # skips
        second = browser.texts("#others li:nth-child(2) span")[0]
        browser.keys("2")  # another proposal
        press(browser, "ENTER", then="0004.jpg")
        assert rows(folder)[2] == ["0003.jpg", second]
        press(browser, "ARROW_LEFT", then="0003.jpg")
        assert browser.one("#state").text.startswith("Saved")
        browser.keys("e", *"!", "ESCAPE")  # an edit that is left
        assert text(browser) == second
        press(browser, "ARROW_RIGHT", then="0004.jpg")
        service.stop(signal.SIGKILL)
    assert [row[0] for row in rows(folder)] == ["0000.jpg", "0001.jpg", "0003.jpg"]
    with running(model, "--review", str(folder)) as service:  # goes on with what is not decided
        begin(browser, service.address, "0004.jpg")
        assert browser.one("#count").text == "0 of 2"
        press(browser, "ENTER", then="0005.jpg")
        assert "cannot be decoded" in browser.one("#no-image").text
        press(browser, "s", then="All photos are decided")
        assert f"--data.root {folder}" in browser.one("#command").text
    assert len(rows(folder)) == 4


def test_a_lost_server_is_reported_and_nothing_is_lost(browser: Browser, model: Path, folder: Path) -> None:
    with running(model, "--review", str(folder)) as service:
        begin(browser, service.address, "0000.jpg")
        service.stop(signal.SIGKILL)
        browser.keys("ENTER")
        wait(browser, lambda: "is not saved: the server cannot be reached" in browser.one("#status").text)
        assert browser.one("#name").text == "0000.jpg"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_accessible(
    browser: Browser, model: Path, folder: Path, width: int, dark: bool
) -> None:
    with running(model, "--review", str(folder)) as service:
        begin(browser, service.address, "0000.jpg")
        browser.show_as(width, 844, dark=dark, phone=width < 600)
        assert browser.run("return document.documentElement.scrollWidth") <= width
        axe = Axe(browser.driver)
        axe.inject()
        violations = [
            each["id"] for each in axe.run()["violations"] if each["impact"] in ("serious", "critical")
        ]
        assert violations == []
