import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from showtell.errors import UsageError, WriteError
from showtell.utils import files
from showtell.utils.files import atomic_folder, read_small, remove_abandoned, reraise_os_error, write_atomic

posix = pytest.mark.skipif(os.name == "nt", reason="no POSIX file system")


@pytest.mark.parametrize("content", [b"\x00\xffbytes", "text\r\nof two lines, \u00e9\n", ""])
def test_content_arrives_as_given_and_folders_are_made(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "new" / "folder" / "file"
    assert write_atomic(path, content) == path
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomic(tmp_path / "file", "before")

    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(WriteError, match=r"file: cannot be written \(No space left on device\)$"):
        write_atomic(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    written = write_atomic(tmp_path / "written", "")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (tmp_path / "secret").chmod(0o600)
    assert write_atomic(tmp_path / "secret", "more").stat().st_mode & 0o777 == 0o600


# Folders are flushed after a rename


@posix
def test_the_folder_is_flushed_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    flush, rename = files.sync_folder, Path.replace
    monkeypatch.setattr(files, "sync_folder", lambda folder: (happened.append("sync"), flush(folder)))
    monkeypatch.setattr(Path, "replace", lambda a, b: (happened.append("rename"), rename(a, b))[1])
    write_atomic(tmp_path / "file", "text")
    assert happened == ["rename", "sync"]


def test_a_new_folder_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").write_text("")
    with atomic_folder(folder) as fresh:
        (fresh / "sub").mkdir()
        (fresh / "sub" / "new").write_text("new")
        assert [path.name for path in folder.iterdir()] == ["old"]
    assert (folder / "sub" / "new").read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["sub"]
    assert list(tmp_path.iterdir()) == [folder]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").write_text("")

    def write_half() -> None:
        with atomic_folder(folder) as fresh:
            (fresh / "new").write_text("")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write_half()
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def test_what_came_into_the_folder_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def write_late() -> None:
        with atomic_folder(folder, replace=False):
            folder.mkdir()
            (folder / "mine").write_text("")

    with pytest.raises(OSError, match="not empty"):
        write_late()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


# What killed runs have left


KILLED = """
import os, sys
from pathlib import Path
from showtell.utils import files
def kill(_):
    os._exit(9)
os.fsync = kill
kind, folder = sys.argv[1:]
if kind == "file":
    files.write_atomic(Path(folder, "file"), "half")
with files.atomic_folder(Path(folder, "out")) as fresh:
    (fresh / "graph").write_text("half")
"""


@posix
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_run_left_is_removed_by_the_next(kind: str, tmp_path: Path) -> None:
    (tmp_path / "mine.tmp").write_text("kept")
    assert subprocess.run([sys.executable, "-c", KILLED, kind, str(tmp_path)], check=False).returncode == 9
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    write_atomic(tmp_path / "other", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.tmp", "other"]


@posix
def test_what_is_being_written_is_not_removed(tmp_path: Path) -> None:
    removed: list[list[str]] = []
    with atomic_folder(tmp_path / "out") as fresh:
        (fresh / "graph").write_text("")
        removed.append(remove_abandoned(tmp_path))
    assert removed == [[]]
    assert (tmp_path / "out" / "graph").exists()


@posix
def test_a_file_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = files.fcntl.flock, []

    def late(handle: int, operation: int) -> None:
        if operation == files.fcntl.LOCK_EX and not removed:
            removed.extend(tmp_path.glob(".*.tmp"))
            removed[0].unlink()
        lock(handle, operation)

    monkeypatch.setattr(files.fcntl, "flock", late)
    write_atomic(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
    assert removed


# Small files


def test_small_files_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_small(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_small(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "none")


@posix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: Path(path).symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_read(make: object, tmp_path: Path) -> None:
    make(tmp_path / "odd")  # type: ignore[operator]
    with pytest.raises(OSError, match=r"regular file|directory"):
        read_small(tmp_path / "odd")


# Errors


def test_errors_of_writing_name_the_file(tmp_path: Path) -> None:
    for kind in (None, UsageError):
        with (
            pytest.raises(kind or WriteError, match=r"^a\.txt: cannot be written \(No space\)$"),
            reraise_os_error(Path("a.txt"), kind),
        ):
            raise OSError(errno.ENOSPC, "No space")
    with pytest.raises(WriteError, match=r"^b\.txt"), reraise_os_error(Path("a.txt")):
        raise WriteError("b.txt", "No space")
