import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.reporting import Report, ReportImage, render, write_report
from tests.reporting.pages import GRID, make_report, make_shown

HOSTILE = "</script><script>alert(1)</script><!--<script> &amp; \u2028 \U0001f415 {{ 7 * 7 }}"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.just(HOSTILE)


class Page(HTMLParser):
    """What a browser would find: elements, the text of each script, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = [("", {})]
        self.scripts: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements[-1][0] == "script":
            self.scripts.append(data)
        self.text += data

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def report(snippets: list[Path]) -> Report:
    return make_report(snippets[:6])


@pytest.fixture
def blank_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are blank: drawing them is tested with the plots, and takes most of the time of a page."""

    def draw(_: object, path: Path, **__: object) -> Path:
        Image.new("RGB", (1, 1)).save(path)
        return path

    for name in ("plot_lines", "plot_distribution"):
        monkeypatch.setattr(render, name, draw)


def write(report: Report, folder: Path) -> Page:
    return Page(write_report(report, folder / "report.html"))


@pytest.mark.parametrize("models", [("mine",), ("mine", "theirs")])
def test_the_page_needs_nothing_else(snippets: list[Path], tmp_path: Path, models: tuple[str, ...]) -> None:
    page = write(make_report(snippets[:4], models=models), tmp_path)
    links = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href")
    ]
    assert links
    assert all(value is not None and value.startswith(("data:", "#")) for value in links)
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"url\(|@import|https?://", page.text)


@pytest.mark.usefixtures("blank_plots")
def test_scores_stand_in_the_table(report: Report, tmp_path: Path) -> None:
    text = " ".join(write(report, tmp_path).text.split())
    assert "CIDEras papers report it 0.5000.400 to 0.600 0.5000.400 to 0.600" in text
    assert "novel 50.0 % \N{EN DASH}none" in text
    assert "SPICE left out." in text


@pytest.mark.usefixtures("blank_plots")
def test_two_models_stand_side_by_side(snippets: list[Path], tmp_path: Path) -> None:
    page = write(make_report(snippets[:4], models=("mine", "theirs")), tmp_path)
    assert "mine against theirs" in page.text
    assert "\N{MINUS SIGN}0.100\N{MINUS SIGN}0.200 to +0.0100.0400" in page.text.replace("\n", "")
    assert [len(image["shown"]) for image in page.data["photos"]] == [2] * 4


@pytest.mark.usefixtures("blank_plots")
def test_charts_are_described_in_words(report: Report, tmp_path: Path) -> None:
    descriptions = [a["alt"] for tag, a in write(report, tmp_path).elements if tag == "img" and a.get("alt")]
    assert descriptions[0] == (
        "Loss by epoch: train_loss goes from 3 to 2.5 at epoch 2; val_loss goes from 3.2 to 2.9 at epoch 2."
    )
    half = np.median([image.shown[0].score for image in report.images])
    assert f"half under {half:.2f}" in str(descriptions[1])


@pytest.mark.usefixtures("blank_plots")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(name=texts, text=texts, people=st.lists(texts, min_size=1, max_size=3))
def test_any_text_stays_text(report: Report, tmp_path: Path, name: str, text: str, people: list[str]) -> None:
    shown = make_shown(text.split(), np.random.default_rng(0), text=text)
    image = ReportImage(name, report.images[0].thumbnail, tuple(people), (shown,))
    page = write(replace(report, title=text, curves={}, images=(image,), models=(name,)), tmp_path)
    assert [tag for tag, _ in page.elements].count("script") == 2
    (photo,) = page.data["photos"]
    assert (photo["name"], photo["people"]) == (name, people)
    assert (photo["shown"][0]["text"], photo["shown"][0]["words"]) == (text, text.split())


@pytest.mark.usefixtures("blank_plots")
def test_looks_are_one_byte_a_cell(report: Report, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    attention = np.full((2, *GRID), 1 / 49, np.float32)
    attention[1] = random.dirichlet(np.full(49, 0.05)).reshape(GRID)
    shown = make_shown(["a", "dog"], random, attention=attention)
    image = replace(report.images[0], shown=(shown,))
    entry = write(replace(report, images=(image,)), tmp_path).data["photos"][0]["shown"][0]
    heat = np.frombuffer(base64.b64decode(entry["looked"]), np.uint8).reshape(2, *entry["grid"])
    assert set(heat[0].ravel()) == {85}  # an even look is a third of the way up
    assert heat[1] == pytest.approx(255 * attention[1] / attention[1].max(), abs=0.5)


@pytest.mark.usefixtures("blank_plots")
def test_captions_of_a_file_have_neither_looks_nor_probabilities(report: Report, tmp_path: Path) -> None:
    shown = make_shown(
        ["a", "dog"], np.random.default_rng(0), attention=None, probabilities=(), confidence=None
    )
    page = write(replace(report, images=(replace(report.images[0], shown=(shown,)),)), tmp_path)
    entry = page.data["photos"][0]["shown"][0]
    assert entry.keys() == {"text", "words", "p", "score", "scores"}


@pytest.mark.usefixtures("blank_plots")
def test_a_doubtful_caption_is_marked(report: Report, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shown = tuple(make_shown(["a", "dog"], random, doubtful=doubtful) for doubtful in (True, False))
    images = tuple(replace(report.images[0], shown=(one,)) for one in shown)
    entry = write(replace(report, images=images), tmp_path).data["photos"]
    assert [image["shown"][0].get("doubtful") for image in entry] == [True, None]


@pytest.mark.usefixtures("blank_plots")
def test_a_thousand_photos_fit_into_ten_megabytes(snippets: list[Path], tmp_path: Path) -> None:
    report = make_report(snippets, models=("mine", "theirs"))
    sizes = []
    for count in (20, 40):
        path = write_report(replace(report, images=report.images[:count]), tmp_path / "page.html")
        sizes.append(path.stat().st_size)
    assert sizes[0] + (sizes[1] - sizes[0]) / 20 * 980 < 10e6
