"""A file is replaced in one step, with its attributes, and no edit of another program is lost."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import lock_descriptor

from showtell.alt import exchange, replacing
from showtell.alt.replacing import check_replaceable, replace_file
from showtell.errors import DataError
from tests.alt.systems import SYSTEMS, failing, limit

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do this")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "site" / "page.html"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


def replace(page: Path, new: bytes = b"new", old: bytes = b"old") -> Path:
    spare = page.parent.parent
    return replace_file(page, old, new, (spare / "temporary", page.with_name(".temporary")), lambda *_: None)


def attributes(page: Path) -> tuple[float, ...]:
    """Those that a reader does not change (a reader changes the time of access)."""
    status = page.stat()
    return status.st_mode, status.st_ino, status.st_nlink, status.st_uid, status.st_gid, status.st_mtime_ns


def leftovers(page: Path) -> list[str]:
    return [path.name for path in (*page.parent.parent.iterdir(), *page.parent.iterdir()) if path.is_file()]


@pytest.mark.parametrize("system", SYSTEMS)
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
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_replaced_file_keeps_its_attributes(
    page: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(system, monkeypatch)
    page.chmod(0o4641)
    os.utime(page, ns=(10**18 + 1, 10**18 + 7))
    before = page.stat()
    replace(page)
    after = page.stat()
    for name in ("st_uid", "st_gid", "st_mode", "st_mtime_ns"):
        assert getattr(after, name) == getattr(before, name)


@linux
def test_a_file_whose_attributes_cannot_be_kept_is_left_alone(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = attributes(page)
    monkeypatch.setattr(replacing, "write_like", failing(DataError("its mode cannot be kept")))
    with pytest.raises(DataError, match="its mode cannot be kept"):
        replace(page)
    assert (page.read_bytes(), attributes(page)) == (b"old", before)
    assert leftovers(page) == ["page.html"]
