"""A new file gets the owner, mode, times and extended attributes of another, or is not written."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from showtell.alt import attributes
from showtell.alt.attributes import write_like
from showtell.errors import DataError
from tests.alt.systems import failing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Python reads them on Linux only")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A file with attributes of its own."""
    path = tmp_path / "page.html"
    path.write_bytes(b"old")
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    path.chmod(0o4641)
    os.setxattr(path, "user.tag", b"red")
    os.utime(path, ns=(10**18 + 1, 10**18 + 7))
    return path


def test_owner_mode_times_and_extended_attributes_are_kept(page: Path) -> None:
    new = page.with_name("new.html")
    write_like(new, b"new", page)
    assert new.read_bytes() == b"new"
    for name in ("st_uid", "st_gid", "st_mode", "st_mtime_ns"):
        assert getattr(new.stat(), name) == getattr(page.stat(), name)
    assert os.getxattr(new, "user.tag") == b"red"
    assert page.read_bytes() == b"old"


def test_other_times_may_be_given(page: Path) -> None:
    new, times = page.with_name("new.html"), Path(__file__).stat()
    write_like(new, b"new", page, times=times)
    assert new.stat().st_mtime_ns == times.st_mtime_ns


def test_a_file_that_is_there_is_not_overwritten(page: Path) -> None:
    other = page.with_name("other.html")
    other.write_bytes(b"kept")
    with pytest.raises(FileExistsError):
        write_like(other, b"new", page)
    assert other.read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("function", "what"), [("chown", "owner and group"), ("setxattr", "user.tag"), ("utime", "time")]
)
def test_where_an_attribute_cannot_be_kept_nothing_is_written(
    page: Path, function: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if function == "chown" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    fail = failing(PermissionError(errno.EPERM, "not permitted"))
    monkeypatch.setattr(attributes.os, function, (lambda *_, **__: None) if function == "utime" else fail)
    with pytest.raises(DataError, match=f"page.html: its .*{what}.* cannot be kept"):
        write_like(page.with_name("new.html"), b"new", page)
    assert not page.with_name("new.html").exists()


def test_attributes_by_the_tool_of_macos(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "sys", type("Mac", (), {"platform": "darwin"}))
    new = page.with_name("new.html")
    write_like(new, b"new", page)
    assert new.read_bytes() == b"new"
    assert (new.stat().st_mode, new.stat().st_mtime) == (page.stat().st_mode, page.stat().st_mtime)
