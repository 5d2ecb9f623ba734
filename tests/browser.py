"""A real browser for tests of pages: Debian's chromium and chromium-driver, without a screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


class Browser:
    """A window of Chromium.

    Attributes:
        driver: selenium's driver, for what has no method here.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str | Path) -> None:
        """Show a page, or a file."""
        self.driver.get(address.resolve().as_uri() if isinstance(address, Path) else address)

    def show_as(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Take this size in pixels, and light or dark colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},  # scrolling is over at once
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def all(self, selector: str) -> list[WebElement]:
        """Elements of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The text of each element, seen or not."""
        return [element.get_property("textContent").strip() for element in self.all(selector)]

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script, which has to `return` it."""
        return self.driver.execute_script(script, *arguments)

    def keys(self, *keys: str) -> WebElement:
        """Press keys where the focus is; the element that has it afterwards."""
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(getattr(Keys, key, key)).perform()
        return self.driver.switch_to.active_element

    def hover(self, element: WebElement) -> None:
        """Move the mouse over an element."""
        webdriver.ActionChains(self.driver).move_to_element(element).perform()

    def messages(self) -> list[str]:
        """What the page complained of since the last call: errors, and what its policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def open_browser(folder: Path, *flags: str) -> Iterator[Browser]:
    """Start Chromium with a new profile in `folder`; the test is skipped where it is not installed."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no chromium and chromedriver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, *flags, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
