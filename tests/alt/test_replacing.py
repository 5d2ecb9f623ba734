"""A file is replaced in one step, with its attributes, and no edit of another program is lost."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import lock_descriptor

from showtell.alt import attributes, exchange, replacing
from showtell.alt.replacing import check_replaceable, replace_file
from showtell.errors import DataError

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do this")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "site" / "page.html"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


def limit(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux; systems that cannot exchange two files in one step; file systems without hard links too."""
    if system != "one step":
        monkeypatch.setattr(exchange, "_renameat2", lambda: None)
    if system == "no links":
        monkeypatch.setattr(os, "link", failing(OSError(errno.EPERM, "no links here")))


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail


def replace(page: Path, new: bytes = b"new", old: bytes = b"old") -> Path:
    spare = page.parent.parent
    return replace_file(page, old, new, (spare / "temporary", page.with_name(".temporary")), lambda *_: None)


def leftovers(page: Path) -> list[str]:
    return [path.name for path in (*page.parent.parent.iterdir(), *page.parent.iterdir()) if path.is_file()]


@pytest.mark.parametrize("system", ["one step", "hard link", "no links"])
def test_the_old_file_is_kept_under_the_other_name(
    page: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(system, monkeypatch)
    inode = page.stat().st_ino
    old = replace(page)
    assert page.read_bytes() == b"new"
    if system == "no links":
        assert not old.exists()
    else:
        assert old.stat().st_ino == inode
        assert old.read_bytes() == b"old"


def write(page: Path) -> None:
    page.write_bytes(b"edited")


def save_by_renaming(page: Path) -> None:
    temporary = page.with_suffix(".swp")
    temporary.write_bytes(b"edited")
    temporary.replace(page)


def append(page: Path) -> None:
    with page.open("ab") as file:
        file.write(b" and more")


def make_link(page: Path) -> None:
    page.rename(page.with_name("moved.html"))
    page.symlink_to("moved.html")


@pytest.mark.parametrize(
    ("system", "edit"),
    [
        *(("one step", edit) for edit in (write, save_by_renaming, append, make_link)),
        *(("hard link", edit) for edit in (write, save_by_renaming, append)),
    ],
)
def test_an_edit_between_comparing_and_replacing_is_put_back(
    page: Path, system: str, edit: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(system, monkeypatch)
    real, edits = exchange.exchange, iter([edit])

    def edit_first(new: Path, path: Path) -> bool:
        next(edits, lambda _: None)(page)
        return real(new, path)

    monkeypatch.setattr(replacing, "exchange", edit_first)
    with pytest.raises(DataError, match="has changed since it was read"):
        replace(page)
    assert page.read_bytes() in (b"edited", b"old and more", b"old")
    assert page.is_symlink() == (edit is make_link)
    assert leftovers(page) == (["moved.html", "page.html"] if edit is make_link else ["page.html"])


@linux
def test_an_edit_through_a_handle_that_is_open_is_not_lost(page: Path) -> None:
    with page.open("r+b") as file:
        with pytest.raises(DataError, match="open for writing"):
            replace(page)
        file.write(b"OLD, edited")
    assert page.read_bytes() == b"OLD, edited"
    assert leftovers(page) == ["page.html"]


def test_of_two_edits_the_later_one_keeps_the_name_and_the_first_one_is_kept(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, texts = exchange.exchange, iter([b"first", b"second"])

    def edit_first(new: Path, path: Path) -> bool:
        if text := next(texts, b""):
            page.write_bytes(text)
        return real(new, path)

    monkeypatch.setattr(replacing, "exchange", edit_first)
    with pytest.raises(DataError, match="edited twice") as caught:
        replace(page)
    assert page.read_bytes() == b"second"
    assert Path(str(caught.value).rpartition(": ")[2]).read_bytes() == b"first"


def test_a_file_that_another_program_has_locked_is_left_alone(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "_LOCK_SECONDS", 0.1)
    with page.open("rb") as file:
        assert lock_descriptor(file.fileno())
        with pytest.raises(DataError, match="another program has locked it"):
            replace(page)
    assert page.read_bytes() == b"old"
    replace(page)
    assert page.read_bytes() == b"new"


@pytest.mark.parametrize("place", ["write_like", "exchange", "sync_folder"])
def test_a_full_disk_leaves_the_file_and_nothing_else(
    page: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, place, failing(OSError(errno.ENOSPC, "no space left")))
    if place == "sync_folder":  # it is done by then
        replace(page)
        assert page.read_bytes() == b"new"
        return
    with pytest.raises(OSError, match="no space left"):
        replace(page)
    assert page.read_bytes() == b"old"
    assert leftovers(page) == ["page.html"]


def test_a_temporary_folder_on_another_file_system(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = exchange.exchange

    def across(new: Path, path: Path) -> bool:
        if new.parent != path.parent:
            raise OSError(errno.EXDEV, "another file system")
        return real(new, path)

    monkeypatch.setattr(replacing, "exchange", across)
    assert replace(page) == page.with_name(".temporary")
    assert page.read_bytes() == b"new"
    assert not (page.parent.parent / "temporary").exists()


def hard_link(path: Path) -> None:
    path.write_bytes(b"")
    os.link(path, path.with_name("second"))


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "make", [hard_link, os.mkfifo, Path.mkdir, lambda path: path.symlink_to("x"), listen]
)
def test_what_is_no_file_with_one_name_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.html")
    with pytest.raises(DataError, match="left alone"):
        check_replaceable(tmp_path / "x.html")


@linux
@pytest.mark.parametrize("system", ["one step", "hard link", "no links"])
def test_owner_mode_times_and_extended_attributes_are_kept(
    page: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(system, monkeypatch)
    if os.geteuid() == 0:
        os.chown(page, 1234, 4321)
    page.chmod(0o4641)
    os.setxattr(page, "user.tag", b"red")
    os.utime(page, ns=(10**18 + 1, 10**18 + 7))
    before = page.stat()
    replace(page)
    after = page.stat()
    for name in ("st_uid", "st_gid", "st_mode", "st_mtime_ns"):
        assert getattr(after, name) == getattr(before, name)
    assert os.getxattr(page, "user.tag") == b"red"


@linux
@pytest.mark.parametrize(
    ("function", "what"), [("chown", "owner and group"), ("setxattr", "user.tag"), ("utime", "time")]
)
def test_a_file_whose_attributes_cannot_be_kept_is_left_alone(
    page: Path, function: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.setxattr(page, "user.tag", b"red")
    os.utime(page, (1e9, 1e9))
    status = page.stat()
    fail = failing(PermissionError(errno.EPERM, "not permitted"))
    if function == "chown":
        os.chown(page, 1234, 4321) if os.geteuid() == 0 else pytest.skip("only root can give files away")
        status = page.stat()
    monkeypatch.setattr(attributes.os, function, (lambda *_, **__: None) if function == "utime" else fail)
    with pytest.raises(DataError, match=f"its .*{what}.* cannot be kept"):
        replace(page)
    assert page.read_bytes() == b"old"
    assert page.stat() == status or page.stat().st_ino == status.st_ino
    assert leftovers(page) == ["page.html"]


@linux
def test_attributes_by_the_system_s_own_tool(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "sys", type("Mac", (), {"platform": "darwin"}))
    page.chmod(0o604)
    os.utime(page, (1e9, 1e9))
    replace(page)
    assert page.read_bytes() == b"new"
    assert (page.stat().st_mode & 0o777, page.stat().st_mtime) == (0o604, 1e9)


@linux
def test_an_exchange_that_fails_says_why(page: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exchange.exchange(page.with_name("missing"), page)
    assert ctypes.get_errno() in (0, errno.ENOENT)
    assert page.read_bytes() == b"old"
