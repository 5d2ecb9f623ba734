"""Links between the documents lead somewhere, and the site has every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import showtell

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("docs/**/*.md"))
DOCUMENTS = [*PAGES, *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))]
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)")


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """The relative links of a document whose file or heading is missing."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(), flags=re.DOTALL)
    broken = []
    for target, anchor in LINK.findall(text):
        linked = document if not target else document.parent / target
        missing = not linked.exists() or (anchor and anchor not in anchors(linked))
        if missing:
            broken.append(f"{target}#{anchor}" if anchor else target)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    assert broken_links(document) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One Two\n")
    page = tmp_path / "a.md"
    page.write_text("[x](b.md#one-two) [y](b.md#three) [z](c.md) `[code](d.md)` [w](https://e.org)")
    assert broken_links(page) == ["b.md#three", "c.md"]


def test_every_page_is_in_the_site_s_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    linked = set(re.findall(r"[\w/]+\.md", str(yaml.safe_load(text)["nav"])))
    assert {path.relative_to(ROOT / "docs").as_posix() for path in PAGES} <= linked


def test_citation_has_the_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == showtell.__version__
