"""Files are changed so that it can be undone, whatever happens in the middle."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from showtell.alt import replacing
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


def undone(folder: Path) -> dict[Path, str]:
    return {path: what for path, what, _ in undo(folder)}


def test_changed_and_undone(files: list[Path], tmp_path: Path) -> None:
    before = [path.read_bytes() for path in files]
    files[0].chmod(0o640)
    os.utime(files[0], (1e9, 1e9))
    backup = change(tmp_path / "backup", files)
    assert backup.count == 3
    assert {path.read_bytes() for path in files} == {b"new"}
    assert files[0].stat().st_mode & 0o777 == 0o640
    assert files[0].stat().st_mtime == 1e9
    assert undone(tmp_path / "backup") == dict.fromkeys(files, "restored")
    assert [path.read_bytes() for path in files] == before
    assert files[0].stat().st_mode & 0o777 == 0o640
    assert files[0].stat().st_mtime == 1e9
    assert set(undone(tmp_path / "backup").values()) == {"as before"}
    assert sorted(tmp_path.rglob("*.html")) == sorted([*files, *(tmp_path / "backup").glob("0*.html")])
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == [
        *("000000-a.html", "000001-b.html", "000002-a.html", MANIFEST),
    ]


def test_a_backup_of_the_former_version_is_undone(files: list[Path], tmp_path: Path) -> None:
    change(tmp_path / "backup", files[:1])
    manifest = tmp_path / "backup" / MANIFEST
    last = manifest.read_text().splitlines()[-1]
    manifest.write_text(last[: last.index(', "temporary"')] + "}\n")
    assert undone(tmp_path / "backup") == {files[0]: "restored"}


def test_what_others_changed_since_is_left_alone(files: list[Path], tmp_path: Path) -> None:
    change(tmp_path / "backup", files)
    files[0].write_text("edited by hand")
    files[1].unlink()
    assert undone(tmp_path / "backup") == {
        files[0]: "changed since",
        files[1]: "gone",
        files[2]: "restored",
    }
    assert files[0].read_text() == "edited by hand"
    assert (tmp_path / "backup" / "000000-a.html").read_text() == "old a.html"


def test_a_file_that_changed_since_it_was_read_is_not_replaced(files: list[Path], tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup")
    with pytest.raises(DataError, match="has changed since it was read"):
        backup.replace(files[0], b"what it was", b"new")
    assert files[0].read_text() == "old a.html"
    assert backup.count == 0
    assert undone(tmp_path / "backup") == {}
    backup.close()
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("moment", ["_put_in_place", "write_like"])
def test_after_a_kill_before_the_replacement_all_is_as_before(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    backup = Backup(tmp_path / "backup")

    def killed(temporary: Path, *_arguments: object) -> None:
        temporary.write_bytes(b"half of the n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replacing, moment, killed)
        patch.setattr(replacing, "discard", lambda *_: False)
        with pytest.raises(KeyboardInterrupt):
            backup.replace(files[1], files[1].read_bytes(), b"new")
    manifest = tmp_path / "backup" / MANIFEST
    manifest.write_text(manifest.read_text() + '{"file": "half')  # killed while it was written
    assert undone(tmp_path / "backup") == {files[1]: "as before"}
    backup.replace(files[0], files[0].read_bytes(), b"new")  # the half line is deleted first
    assert undone(tmp_path / "backup") == {files[0]: "restored", files[1]: "as before"}


def test_an_edit_at_the_moment_of_a_kill_is_restored(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited_and_killed(temporary: Path, path: Path) -> bool:
        path.write_text("edited after it was compared")
        real(temporary, path)
        raise KeyboardInterrupt

    real = replacing.exchange
    with monkeypatch.context() as patch:
        patch.setattr(replacing, "exchange", edited_and_killed)
        with pytest.raises(KeyboardInterrupt):
            change(tmp_path / "backup", files[:1])
    assert files[0].read_bytes() == b"new"
    assert undone(tmp_path / "backup") == {files[0]: "restored"}
    assert files[0].read_text() == "edited after it was compared"


def test_a_link_stays_a_link(files: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "link.html"
    link.symlink_to(files[0])
    change(tmp_path / "backup", [link])
    assert link.is_symlink()
    assert files[0].read_bytes() == b"new"


def test_no_backup_and_a_folder_that_is_there_or_cannot_be(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no backup of showtell there"):
        list(undo(tmp_path))
    with pytest.raises(UsageError, match="name a new folder"):
        Backup(tmp_path)
    with pytest.raises(UsageError, match="no backup can be made there"):
        Backup(files[0] / "backup")
    with pytest.raises(UsageError, match="no backup can be made there"):
        Backup.named_by_time(files[0])


def test_backups_that_begin_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    backups = [Backup.named_by_time(tmp_path / "all") for _ in range(5)]
    assert len({backup.folder for backup in backups}) == 5


def damage_copy(folder: Path, _: Path) -> None:
    (folder / "000001-b.html").write_text("damaged")


def remove_copy(folder: Path, _: Path) -> None:
    (folder / "000001-b.html").unlink()


def damage_list(folder: Path, _: Path) -> None:
    lines = (folder / MANIFEST).read_text().splitlines()
    damaged = [line.replace("{", "[") if "b.html" in line else line for line in lines]
    (folder / MANIFEST).write_text("\n".join(damaged) + "\n")


def add_name(folder: Path, file: Path) -> None:
    os.link(file, file.with_name("second name"))


@pytest.mark.parametrize("damage", [damage_copy, remove_copy, damage_list, add_name])
def test_undo_goes_on_after_a_file_that_it_cannot_restore_and_can_be_run_again(
    files: list[Path], tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    change(tmp_path / "backup", files)
    damage(tmp_path / "backup", files[1])
    first = list(undo(tmp_path / "backup"))
    assert {path for path, what, _ in first if what == "restored"} == {files[0], files[2]}
    failed = [(path, reason) for path, what, reason in first if what == "not restored"]
    assert failed
    assert all(reason for _, reason in failed)
    assert files[1].read_bytes() == b"new"
    assert (files[0].read_text(), files[2].read_text()) == ("old a.html", "old a.html")
    if damage is add_name:
        files[1].with_name("second name").unlink()
        assert undone(tmp_path / "backup")[files[1]] == "restored"
    else:
        assert [(path, what) for path, what, _ in undo(tmp_path / "backup") if what != "as before"] == [
            (path, "not restored") for path, _ in failed
        ]


def test_long_and_odd_names(tmp_path: Path) -> None:
    names = ["x" * 250 + ".html", "ü" * 120 + ".html", "new\nline.html", os.fsdecode(b"\xff\xfe.html")]
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_text("old")
    change(tmp_path / "backup", files)
    assert undone(tmp_path / "backup") == dict.fromkeys(files, "restored")
