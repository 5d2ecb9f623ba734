"""Line ends, `<base href>`, addresses, and patches that apply where they were made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from showtell.alt import documents, markdown
from showtell.alt.folders import find_pages
from showtell.alt.patch import make_patch
from showtell.alt.survey import survey
from showtell.errors import DataError


def write(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"# Old\r![](a.jpg)\r",
        b"# T\r\r\n\r\r\n![](a.jpg)\r\r\n",
        b"# T\r\n\r\nfirst\rline\r\n\r\n![](a.jpg)\r\n\r\nlast\r\n",
        b"a\n\rb\r\n> ![](a.jpg)\rc",
        b"<div>\r<img src='a.jpg'>\r</div>\r\r![ ](a.jpg)",
        b"\xef\xbb\xbf![](a.jpg)\r",
    ],
)
@pytest.mark.parametrize("suffix", [".md", ".mdx"])
def test_any_line_ends_in_markdown(tmp_path: Path, content: bytes, suffix: str) -> None:
    page = documents.read_page(write(tmp_path / f"page{suffix}", content), tmp_path)
    assert {gap.source for gap in page.gaps} == {"a.jpg"}
    assert not any(gap.problem for gap in page.gaps)
    filled = page.filled([(gap, "A dog") for gap in page.gaps])
    assert filled.replace(b' alt="A dog"', b"").replace(b"![A dog](", b"![](").replace(
        b"![A dog ](", b"![ ]("
    ) == (content)
    assert markdown.find_gaps(filled.decode()) == []


@pytest.mark.parametrize(("ends", "line"), [("\n", 4), ("\r\n", 4), ("\r", 4), ("\r\r\n", 7)])
def test_lines_are_counted_as_editors_count(tmp_path: Path, ends: str, line: int) -> None:
    for name, tag in (("a.html", "<img src=a.jpg>"), ("a.md", "![](a.jpg)")):
        page = documents.read_page(
            write(tmp_path / name, ends.join(["<p>", "x", "", tag, ""]).encode()), tmp_path
        )
        assert [page.line(gap) for gap in page.gaps] == [line]


@pytest.mark.parametrize(
    ("base", "address", "file"),
    [
        ("sub/", "a.jpg", "site/pages/sub/a.jpg"),
        ("sub/index.html", "a.jpg", "site/pages/sub/a.jpg"),
        ("../images/", "a.jpg", "site/images/a.jpg"),
        ("/images/", "a.jpg", "site/images/a.jpg"),
        ("/", "images/a.jpg", "site/images/a.jpg"),
        ("/other/", "/images/a.jpg", "site/images/a.jpg"),
        ("/my%20images/", "a.jpg?v=1#x", "site/my images/a.jpg"),
        ("sub", "a.jpg", "site/pages/a.jpg"),
        ("", "a.jpg", "site/pages/a.jpg"),
        ("", "..\\images\\a.jpg", "site/images/a.jpg"),
        ("..\\images\\", "a.jpg", "site/images/a.jpg"),
    ],
)
def test_addresses_begin_at_the_base(tmp_path: Path, base: str, address: str, file: str) -> None:
    write(tmp_path / file, b"x")
    content = f'<base target=_top><base href="{base}"><base href="/no/"><img src="{address}">'.encode()
    page = documents.read_page(write(tmp_path / "site" / "pages" / "page.html", content), tmp_path / "site")
    assert page.image(page.gaps[0]).resolve() == tmp_path / file


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ('<base href="https://x.example/"><img src="a.jpg">', "elsewhere .<base href=https://x.example/>"),
        ('<base href="//x.example"><img src="/a.jpg">', "elsewhere"),
        ('<base href="{{ site.url }}/"><img src="a.jpg">', "<base href> is made by a template"),
        ('<base [href]="x"><img src="\\\\server\\a.jpg">', "elsewhere"),
        ('<img src="{photo}">', "made by a template"),
        ('<base href="http://[x"><img src="a.jpg">', "makes no sense"),
    ],
)
def test_bases_that_cannot_be_followed(tmp_path: Path, page: str, reason: str) -> None:
    write(tmp_path / "a.jpg", b"x")
    found = documents.read_page(write(tmp_path / "page.html", page.encode()), tmp_path)
    with pytest.raises(DataError, match=reason):
        found.image(found.gaps[0])


def test_a_page_that_a_parser_fails_on_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "good.html", b"<img src=a.jpg>")
    write(tmp_path / "bad.md", b"![](a.jpg)")
    write(tmp_path / "a.jpg", b"x")

    def fail(*_arguments: str) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(markdown, "find_gaps", fail)
    found = survey([str(tmp_path)])
    assert len(found.missing) == 1
    assert found.skipped == {str(tmp_path / "bad.md"): "cannot be understood (RecursionError: too deep)"}


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
    found = survey([str(site)])
    assert [missing.image for missing in found.missing] == [site / "a.jpg"]
    assert {Path(name).name for name in found.left_alone} == {"out.html", "folder"}
    assert found.skipped == {str(site / "pipe.html"): "not a regular file; it is left alone"}
    assert [path.name for path in find_pages(site)] == ["again.html", "out.html", "page.html", "pipe.html"]


def test_links_and_pipes_among_photos_are_left_alone(tmp_path: Path, photos: list[Path]) -> None:
    library = tmp_path / "library"
    write(library / "changes" / "changes.jsonl")
    for folder in (library, library / "changes"):
        shutil.copy(photos[0], folder / "a.jpg")
    (library / "out.jpg").symlink_to(photos[1])
    (library / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(library / "pipe.jpg")
    found = survey([str(library)])
    assert [missing.name for missing in found.missing] == [str(library / "a.jpg")]
    assert {Path(name).name for name in found.left_alone} == {"out.jpg", "zero.jpg", "pipe.jpg"}


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
