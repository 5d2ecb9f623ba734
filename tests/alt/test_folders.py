"""Pages of a site's folder; links out of it, and backups, are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.alt.backup import MANIFEST, Backup
from showtell.alt.folders import find_folder_links, find_pages, is_backup, leads_out
from tests.data.annotations.datasets import touch, write


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_pages(folder)]


def test_pages_are_sorted_and_hidden_folders_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b.HTML", "a.md", "a.txt", ".hidden.html", "sub/c.mdx")
    for folder in (".git", "node_modules", "__pycache__", "sub/node_modules"):
        touch(tmp_path / folder, "x.html")
    assert names(tmp_path) == ["a.md", "b.HTML", "sub/c.mdx"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    site, outside = tmp_path / "site", tmp_path / "outside"
    touch(site, "page.html", "sub/page.html")
    touch(outside, "page.html")
    (site / "out").symlink_to(outside)
    (site / "in").symlink_to(site / "sub")
    (site / "loop").symlink_to(".")
    (site / "out.html").symlink_to(outside / "page.html")
    assert names(site) == ["out.html", "page.html", "sub/page.html"]
    assert list(find_folder_links(site)) == [site / "out"]
    assert leads_out(site / "out.html", site)
    assert not leads_out(site / "in", site)
    assert not leads_out(site / "page.html", site)


def test_a_backup_is_no_part_of_the_site(tmp_path: Path) -> None:
    touch(tmp_path, "page.html")
    backup = Backup(tmp_path / "saved")
    page = write(tmp_path / "other.html", b"old")
    backup.replace(page, b"old", b"new")
    assert is_backup(tmp_path / "saved")
    assert names(tmp_path) == ["other.html", "page.html"]


@pytest.mark.parametrize(
    ("content", "backup"),
    [(b"", True), (b'{"file": "/x"}\n', True), (b'{"files": 1}\n', False), (None, False)],
)
def test_backups_are_recognised_by_their_list(tmp_path: Path, content: bytes | None, backup: bool) -> None:
    if content is not None:
        write(tmp_path / MANIFEST, content)
    assert is_backup(tmp_path) is backup
