"""Proposals become a patch, or changes that can be undone; what fails is named and the rest goes on."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from showtell.alt.backup import Backup, undo
from showtell.alt.changes import Changes
from showtell.alt.metadata import read_description
from showtell.alt.survey import survey
from tests.alt.systems import failing
from tests.data.annotations.datasets import touch, write


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pages with three images."""
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "site", "a.jpg", "b.jpg")
    write(tmp_path / "site" / "one.html", b"<img src=a.jpg>\n<img src=b.jpg>\n")
    write(tmp_path / "site" / "two.md", b"![](a.jpg)\n")
    return Path("site")


def add_all(changes: Changes, path: Path) -> None:
    for number, missing in enumerate(survey([str(path)]).missing):
        changes.add(missing, f"Text {number}")


def test_without_a_backup_there_is_a_patch_and_no_change(site: Path) -> None:
    changes = Changes(None)
    add_all(changes, site)
    changes.write_pages()
    assert (site / "one.html").read_bytes() == b"<img src=a.jpg>\n<img src=b.jpg>\n"
    added = [line for line in changes.patch().content.decode().splitlines() if line.startswith("+")]
    assert added == [
        "+++ b/site/one.html",
        '+<img alt="Text 0" src=a.jpg>',
        '+<img alt="Text 1" src=b.jpg>',
        "+++ b/site/two.md",
        "+![Text 2](a.jpg)",
    ]


def test_the_texts_of_a_page_are_written_at_once_and_undone(site: Path) -> None:
    changes = Changes(Backup(Path("backup")))
    add_all(changes, site)
    assert (site / "one.html").read_bytes() == b"<img src=a.jpg>\n<img src=b.jpg>\n"
    changes.write_pages()
    assert changes.failed == {}
    assert changes.backup is not None
    assert changes.backup.count == 2
    assert (site / "one.html").read_text() == '<img alt="Text 0" src=a.jpg>\n<img alt="Text 1" src=b.jpg>\n'
    assert {what for _, what, _ in undo(Path("backup"))} == {"restored"}
    assert (site / "two.md").read_bytes() == b"![](a.jpg)\n"


def test_a_page_that_cannot_be_changed_is_named_and_the_others_are_written(site: Path) -> None:
    changes = Changes(Backup(Path("backup")))
    add_all(changes, site)
    (site / "one.html").write_bytes(b"edited meanwhile")
    changes.write_pages()
    assert list(changes.failed) == ["site/one.html"]
    assert changes.failed["site/one.html"].startswith("it has changed since it was read")
    assert (site / "one.html").read_bytes() == b"edited meanwhile"
    assert (site / "two.md").read_text() == "![Text 2](a.jpg)\n"


def test_a_photo_gets_its_description_at_once(tmp_path: Path, snippets: list[Path]) -> None:
    shutil.copy(snippets[0], tmp_path / "a.jpg")
    write(tmp_path / "b.jpg", b"no photo")
    changes = Changes(Backup(tmp_path / "backup"))
    add_all(changes, tmp_path)
    assert read_description((tmp_path / "a.jpg").read_bytes(), "a.jpg") == "Text 0"
    assert list(changes.failed) == [str(tmp_path / "b.jpg")]
    assert changes.failed[str(tmp_path / "b.jpg")].startswith("its metadata cannot be read")


def test_an_error_of_the_system_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = Changes(Backup(Path("backup")))
    add_all(changes, site)
    monkeypatch.setattr(Backup, "replace", failing(OSError(errno.ENOSPC, "No space left on device")))
    changes.write_pages()
    assert set(changes.failed.values()) == {"cannot be changed (No space left on device)"}
