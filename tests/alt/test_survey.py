"""What lacks alt text is listed, with a reason for all that can get none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from showtell.alt import markdown
from showtell.alt.survey import Kind, survey
from showtell.errors import UsageError
from tests.data.annotations.datasets import touch, write


def test_a_page_that_a_parser_fails_on_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "good.html", b"<img src=a.jpg>")
    write(tmp_path / "bad.md", b"![](a.jpg)")
    write(tmp_path / "a.jpg", b"x")

    def fail(*_arguments: str) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(markdown, "find_gaps", fail)
    surveyed = survey([str(tmp_path)])
    assert len(surveyed.missing) == 1
    assert surveyed.skipped == {str(tmp_path / "bad.md"): "cannot be parsed (RecursionError: too deep)"}


def test_links_out_of_the_site_pipes_and_backups_are_left_alone(tmp_path: Path) -> None:
    site, outside = tmp_path / "site", tmp_path / "outside"
    for folder in (site, outside):
        write(folder / "page.html", b"<img src=a.jpg>")
        write(folder / "a.jpg", b"x")
    write(site / "saved" / "changes.jsonl", b'{"file": "/x"}\n')
    write(site / "saved" / "000000-page.html", b"<img src=a.jpg>")
    (site / "out.html").symlink_to(outside / "page.html")
    (site / "folder").symlink_to(outside)
    (site / "again.html").symlink_to("page.html")
    (site / "loop").symlink_to(".")
    os.mkfifo(site / "pipe.html")
    surveyed = survey([str(site)])
    assert [missing.image for missing in surveyed.missing] == [site / "a.jpg"]
    assert {Path(name).name for name in surveyed.left_alone} == {"out.html", "folder"}
    assert surveyed.skipped == {str(site / "pipe.html"): "not a regular file; it is left alone"}


def test_links_and_pipes_among_photos_are_left_alone(tmp_path: Path, snippets: list[Path]) -> None:
    library = tmp_path / "library"
    write(library / "changes" / "changes.jsonl", b"")
    for folder in (library, library / "changes"):
        shutil.copy(snippets[0], folder / "a.jpg")
    (library / "out.jpg").symlink_to(snippets[1])
    (library / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(library / "pipe.jpg")
    surveyed = survey([str(library), str(library / "zero.jpg"), str(library / "pipe.jpg")])
    assert [missing.name for missing in surveyed.missing] == [str(library / "a.jpg")]
    assert {Path(name).name for name in surveyed.left_alone} == {"out.jpg", "zero.jpg", "pipe.jpg"}
    assert len(survey([str(library)]).left_alone) == 1, "pipes and devices are no photos of a folder"


def test_images_are_named_by_page_line_and_address(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b c.jpg")
    tags = '<p>\n<img src="a.jpg">\n<img src="b%20c.jpg"><img src="a.jpg" alt="">'
    page = write(tmp_path / "page.html", tags)
    surveyed = survey([str(page)])
    assert [(missing.name, missing.image.name) for missing in surveyed.missing] == [
        (f"{page}:2 a.jpg", "a.jpg"),
        (f"{page}:3 b%20c.jpg", "b c.jpg"),
    ]
    assert (surveyed.pages, surveyed.skipped) == (1, {})


def test_each_image_that_can_get_no_text_is_counted(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", "<img src=gone.jpg><img src=gone.jpg>\n<img>")
    surveyed = survey([str(page)])
    assert surveyed.missing == []
    assert [name.strip() for name in surveyed.skipped] == [f"{page}:1 gone.jpg"] * 2 + [f"{page}:2"]
    assert list(surveyed.skipped.values())[2] == "it has no address"


@pytest.mark.parametrize(
    ("kind", "expected"), [("auto", ["a.jpg"]), ("pages", ["a.jpg"]), ("photos", ["a.jpg", "b.jpg"])]
)
def test_pages_or_photos_of_a_folder(
    tmp_path: Path, snippets: list[Path], kind: Kind, expected: list[str]
) -> None:
    write(tmp_path / "page.html", "<img src=a.jpg>")
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(snippets[0], tmp_path / name)
    surveyed = survey([str(tmp_path)], kind=kind)
    assert [missing.image.name for missing in surveyed.missing] == expected


def test_what_is_named_twice_is_looked_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    page = write(tmp_path / "page.html", "<img src=a.jpg>")
    (tmp_path / "link.html").symlink_to(page)
    surveyed = survey([str(page), str(tmp_path), str(tmp_path / "link.html")])
    assert (len(surveyed.missing), surveyed.pages) == (1, 1)


def test_what_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.txt: neither a folder, nor a page, nor a photo"):
        survey([str(write(tmp_path / "x.txt", "notes"))])
    with pytest.raises(UsageError, match=r"x\.html: no such file or folder"):
        survey([str(tmp_path / "x.html")])
    with pytest.raises(UsageError, match=r"no pages \(\.astro, .*\) in this folder"):
        survey([str(tmp_path)], kind="pages")
