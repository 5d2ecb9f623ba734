"""Files are changed so that it can be undone, whatever happens in the middle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from showtell.alt.backup import MANIFEST, Backup, undo
from showtell.errors import DataError, UsageError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "site" / name for name in ("a.html", "b.html", "sub/a.html")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"old {path.name}")
    return paths


def change(folder: Path, files: list[Path]) -> Backup:
    backup = Backup(folder)
    for path in files:
        backup.replace(path, path.read_bytes(), b"new")
    return backup


def test_changed_and_undone(files: list[Path], tmp_path: Path) -> None:
    before = [path.read_bytes() for path in files]
    files[0].chmod(0o640)
    os.utime(files[0], (1e9, 1e9))
    backup = change(tmp_path / "backup", files)
    assert backup.count == 3
    assert {path.read_bytes() for path in files} == {b"new"}
    assert files[0].stat().st_mode & 0o777 == 0o640
    assert sorted(undo(tmp_path / "backup")) == sorted((path, "restored") for path in files)
    assert [path.read_bytes() for path in files] == before
    assert files[0].stat().st_mode & 0o777 == 0o640
    assert files[0].stat().st_mtime == 1e9
    assert {what for _, what in undo(tmp_path / "backup")} == {"as before"}


def test_what_others_changed_since_is_left_alone(files: list[Path], tmp_path: Path) -> None:
    change(tmp_path / "backup", files)
    files[0].write_text("edited by hand")
    files[1].unlink()
    assert dict(undo(tmp_path / "backup")) == {
        files[0]: "changed since",
        files[1]: "gone",
        files[2]: "restored",
    }
    assert files[0].read_text() == "edited by hand"
    assert (tmp_path / "backup" / "000000-a.html").read_text() == "old a.html"


def test_a_file_that_changed_since_it_was_read_is_not_replaced(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has changed since it was read"):
        Backup(tmp_path / "backup").replace(files[0], b"what it was", b"new")
    assert files[0].read_text() == "old a.html"
    assert not (tmp_path / "backup").exists()


def test_after_a_kill_before_the_replacement_all_is_as_before(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(tmp_path / "backup", files[:1])

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    backup = Backup(tmp_path / "second")
    with monkeypatch.context() as patch:
        patch.setattr("showtell.alt.backup._replace", killed)
        with pytest.raises(KeyboardInterrupt):
            backup.replace(files[1], files[1].read_bytes(), b"new")
    assert dict(undo(tmp_path / "second")) == {files[1]: "as before"}
    manifest = tmp_path / "backup" / MANIFEST
    manifest.write_text(manifest.read_text() + '{"file": "half')  # killed while it was written
    assert dict(undo(tmp_path / "backup")) == {files[0]: "restored"}


def test_a_link_stays_a_link(files: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "link.html"
    link.symlink_to(files[0])
    change(tmp_path / "backup", [link])
    assert link.is_symlink()
    assert files[0].read_bytes() == b"new"


def test_no_backup_a_damaged_one_and_a_folder_that_is_there(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no backup of showtell there"):
        list(undo(tmp_path))
    with pytest.raises(UsageError, match="name a new folder"):
        Backup(tmp_path)
    change(tmp_path / "backup", files)
    (tmp_path / "backup" / "000001-b.html").write_text("damaged")
    with pytest.raises(UsageError, match="this backup is damaged"):
        list(undo(tmp_path / "backup"))
    assert {path.read_bytes() for path in files} == {b"new"}  # nothing was restored by halves
