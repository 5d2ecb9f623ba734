"""Patches apply to the folder they were made of, also with unusual file names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from showtell.alt import documents
from showtell.alt.folders import find_pages
from showtell.alt.patch import make_patch
from tests.data.annotations.datasets import write


@pytest.mark.parametrize("tool", ["git", "patch"])
@pytest.mark.parametrize("place", ["here", "above", "inside", "beside", "link"])
def test_a_patch_applies_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, place: str
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}")
    site = tmp_path / "work" / "my site"
    names = ["a b.html", 'quo"te.html', "täglich.md", "sub/cr.md", "tab\there.html"]
    for name in names:
        write(site / name, b"<p>x</p>\r\n<img src=a.jpg>\r\n" if "html" in name else b"a\rb\n\n![](a.jpg)")
    (tmp_path / "link").symlink_to(site)
    (tmp_path / "other").mkdir()
    subprocess.run(["git", "init", "-q", str(site.parent)], check=place != "beside", capture_output=True)
    named = {"here": site, "above": site, "inside": site / "sub", "beside": site, "link": tmp_path / "link"}
    here = {"here": site, "above": site.parent, "inside": site / "sub", "beside": tmp_path / "other"}
    monkeypatch.chdir(here.get(place, tmp_path))
    read = [documents.read_page(path, site) for path in find_pages(Path(os.path.relpath(named[place])))]
    texts = [(page, [(gap, "A dog") for gap in page.gaps]) for page in read]
    expected = {page.path.resolve(): page.filled(gaps) for page, gaps in texts}
    patch = make_patch(texts)
    assert (patch.folder == Path.cwd()) == (place != "beside")
    file = write(tmp_path / "x.patch", patch.content)
    command = ["git", "apply", str(file)] if tool == "git" else ["patch", "-p1", "--binary", "-i", str(file)]
    subprocess.run(command, cwd=patch.folder, check=True, capture_output=True)
    assert {path: path.read_bytes() for path in expected} == expected
    assert len(expected) == (1 if place == "inside" else len(names))


def test_the_diff_of_a_page_without_an_end_of_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = documents.read_page(write(tmp_path / "a b.html", b"<p>\r\n<img src=a.jpg>"), tmp_path)
    patch = make_patch([(page, [(page.gaps[0], "A dog")])])
    assert patch.folder == tmp_path
    assert patch.content.decode().split("\n") == [
        "--- a/a b.html\t",
        "+++ b/a b.html\t",
        "@@ -1,2 +1,2 @@",
        " <p>\r",
        "-<img src=a.jpg>",
        "\\ No newline at end of file",
        '+<img alt="A dog" src=a.jpg>',
        "\\ No newline at end of file",
        "",
    ]


def test_a_page_without_texts_is_not_in_the_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = documents.read_page(write(tmp_path / "a.html", b"<img src=a.jpg>\n"), tmp_path)
    assert make_patch([(page, [])]).content == b""
