"""Two files exchange their names, in as many steps as the system needs."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from showtell.alt import exchange as module
from showtell.alt.exchange import OLD, exchange
from tests.alt.systems import SYSTEMS, failing, limit

Pair = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Pair:
    """A new file, and the one whose name it gets."""
    new, path = tmp_path / "temporary", tmp_path / "page.html"
    new.write_bytes(b"new")
    path.write_bytes(b"old")
    return new, path


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_old_file_is_kept_where_the_system_can(
    files: Pair, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(system, monkeypatch)
    new, path = files
    inode = path.stat().st_ino
    kept = exchange(new, path)
    assert path.read_bytes() == b"new"
    assert kept == (system != "no links") == new.exists()
    if kept:
        assert (new.read_bytes(), new.stat().st_ino) == (b"old", inode)
    assert not new.with_name(new.name + OLD).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges in one step")
@pytest.mark.parametrize(
    ("system", "missing"),
    [
        *((system, 0) for system in SYSTEMS),
        *((system, 1) for system in SYSTEMS[:2]),  # a rename alone cannot tell that the old one is missing
    ],
)
def test_where_one_is_missing_neither_is_renamed(
    files: Pair, system: str, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(system, monkeypatch)
    files[missing].unlink()
    with pytest.raises(FileNotFoundError):
        exchange(*files)
    assert files[1 - missing].read_bytes() == (b"old", b"new")[missing]
    assert len(list(files[0].parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "done"),
    [(errno.ENOSYS, True), (errno.EINVAL, True), (errno.EXDEV, False), (errno.EACCES, False)],
)
def test_a_file_system_that_knows_no_exchange_is_no_error(
    files: Pair, number: int, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_renameat2", lambda: lambda *_: -1)
    monkeypatch.setattr(module.ctypes, "get_errno", lambda: number)
    if done:
        assert exchange(*files)
        assert [path.read_bytes() for path in files] == [b"old", b"new"]
        return
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        exchange(*files)
    assert caught.value.errno == number
    assert [path.read_bytes() for path in files] == [b"new", b"old"]


def test_a_replacement_that_fails_leaves_no_second_name(files: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    limit("hard link", monkeypatch)
    monkeypatch.setattr(Path, "replace", failing(PermissionError(errno.EACCES, "not permitted")))
    with pytest.raises(PermissionError):
        exchange(*files)
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["page.html", "temporary"]
    assert files[1].read_bytes() == b"old"
