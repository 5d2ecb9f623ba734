"""Pages as files: line ends, `<base href>`, and the image files of addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.alt import documents, markdown
from showtell.errors import DataError
from tests.data.annotations.datasets import write


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
        (
            '<base href="https://x.example/"><img src="a.jpg">',
            "on another host .<base href=https://x.example/>",
        ),
        ('<base href="//x.example"><img src="/a.jpg">', "on another host"),
        ('<base href="{{ site.url }}/"><img src="a.jpg">', "<base href> is made by a template"),
        ('<base [href]="x"><img src="\\\\server\\a.jpg">', "on another host"),
        ('<img src="{photo}">', "made by a template"),
        ('<base href="http://[x"><img src="a.jpg">', "address is invalid"),
    ],
)
def test_bases_that_cannot_be_followed(tmp_path: Path, page: str, reason: str) -> None:
    write(tmp_path / "a.jpg", b"x")
    read = documents.read_page(write(tmp_path / "page.html", page.encode()), tmp_path)
    with pytest.raises(DataError, match=reason):
        read.image(read.gaps[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<img src=a.jpg>".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (None, "not a regular file; it is left alone"),
    ],
)
def test_files_that_are_no_pages(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "page.html"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=f"page.html: {reason}"):
        documents.read_page(path, tmp_path)
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        documents.read_page(tmp_path / "none.html", tmp_path)


def test_bytes_that_are_no_utf_8_are_kept(tmp_path: Path) -> None:
    content = "<p>Été</p><img src=a.jpg>\r\n".encode("latin-1")
    page = documents.read_page(write(tmp_path / "page.html", content), tmp_path)
    assert page.content == content
    assert page.filled([(page.gaps[0], "é")]) == content.replace(b"<img", '<img alt="é"'.encode())
