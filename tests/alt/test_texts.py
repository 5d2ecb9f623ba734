"""`showtell alt --texts`: texts of a review, of `--output`, or of a person; no model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.alt.survey import survey
from showtell.alt.texts import read_texts, text_name
from showtell.cli import main
from showtell.errors import AnnotationError, UsageError
from tests.data.annotations.datasets import touch, write

PAGE = '<p>\n<img src="a.jpg">\n<img src="b c.jpg"> <img src="a.jpg">\n'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    touch(Path("site"), "a.jpg", "b c.jpg")
    write(Path("site/index.html"), PAGE)
    return Path("site")


@pytest.mark.parametrize(
    "rows",
    [
        "site/index.html a.jpg,A dog\nsite/index.html b c.jpg,A cat\n",  # of a review
        "site/index.html:2 a.jpg,A dog\nsite/index.html:3 b c.jpg,A cat\n",  # of --output
        "./site/index.html:7 a.jpg,A dog\nsite/index.html:9 b c.jpg,A cat\nsite/other.html x.jpg,X\n",
    ],
)
def test_texts_are_inserted_without_a_model(
    site: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("alt.csv"), f"image,caption\n{rows}")
    assert main(["alt", "site", "--texts", "alt.csv", "--write"]) == 0
    assert (site / "index.html").read_text() == (
        '<p>\n<img alt="A dog" src="a.jpg">\n<img alt="A cat" src="b c.jpg"> <img alt="A dog" src="a.jpg">\n'
    )
    shown = capsys.readouterr()
    assert "site/index.html:2 a.jpg: A dog" in shown.out
    assert "2 texts used, 0 images are still without one" in shown.err


def test_lines_that_were_added_meanwhile_do_not_matter(site: Path) -> None:
    (name, *_) = {text_name(missing) for missing in survey(["site"]).missing if missing.image.name == "a.jpg"}
    write(Path("alt.csv"), f"image,caption\n{name},A dog\n")
    write(site / "index.html", f"<h1>New</h1>\n\n{PAGE}")
    assert main(["alt", "site", "--texts", "alt.csv", "--write"]) == 0
    assert (site / "index.html").read_text().count('alt="A dog"') == 2


def test_without_write_nothing_is_changed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("alt.csv"), 'image,caption\nsite/index.html a.jpg,"A ""dog"" & more"\n')
    assert main(["alt", "site", "--texts", "alt.csv", "--patch", "-"]) == 0
    assert (site / "index.html").read_text() == PAGE
    shown = capsys.readouterr()
    assert "+<img alt=" in shown.out
    assert "1 texts used, 1 images are still without one" in shown.err


def test_texts_of_other_pages_are_no_success(site: Path) -> None:
    write(Path("alt.csv"), "image,caption\nother.html a.jpg,A dog\nsite/index.html b c.jpg,\n")
    assert main(["alt", "site", "--texts", "alt.csv", "--write"]) == 1
    assert (site / "index.html").read_text() == PAGE


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "image,caption\na.jpg,one,two\n"])
def test_what_is_no_table_of_texts_is_named(tmp_path: Path, content: str) -> None:
    write(tmp_path / "alt.csv", content)
    with pytest.raises(AnnotationError, match=r"alt\.csv"):
        read_texts(tmp_path / "alt.csv")
    with pytest.raises(UsageError, match="no such file"):
        read_texts(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "options",
    [
        "--review a.csv --write",
        "--review a.csv --check",
        "--review a.csv --texts b.csv",
        "--review a.txt",
        "--texts a.csv --check",
        "--texts a.csv --output b.csv",
    ],
)
def test_misuse_is_one_line(site: Path, options: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alt", "site", *options.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1
