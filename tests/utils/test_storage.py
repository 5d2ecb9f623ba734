"""Paths and addresses: one set of functions for both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from showtell.errors import UsageError, WriteError
from showtell.utils.storage import (
    file_system,
    is_remote,
    list_remote,
    location,
    names_in,
    open_binary,
    read_bytes,
    write_whole,
)


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        ("s3://a/b", True),
        ("simplecache::s3://a", True),
        ("C://photos", False),
        ("photos", False),
        ("a:/b", False),
    ],
)
def test_addresses(name: str, remote: bool) -> None:
    assert is_remote(name) == remote


@pytest.fixture
def store() -> Iterator[Any]:
    """A file system in memory, empty before and after."""
    pytest.importorskip("upath", reason="the extra cloud is not installed")
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


@pytest.fixture(params=["memory", "folder"])
def root(request: pytest.FixtureRequest, store: Any, tmp_path: Path) -> Path:
    """A location in memory, and a folder of this machine."""
    return (
        location("memory://bucket/root/") if request.param == "memory" else location(str(tmp_path / "root"))
    )


def test_a_file_is_written_whole_read_in_part_and_listed(root: Path) -> None:
    path = root / "deep" / "a.bin"
    assert write_whole(path, b"0123456789") == path
    write_whole(root / "text", "\u00e9")
    assert read_bytes(path) == b"0123456789"
    assert [read_bytes(path, *part) for part in ((2, 5), (7, None), (0, 0))] == [b"234", b"789", b""]
    assert read_bytes(str(root / "text")) == "\u00e9".encode()
    assert names_in(root) == {"deep", "text"}
    with open_binary(str(path)) as file:
        file.seek(8)
        assert file.read() == b"89"


def test_a_file_that_is_not_there_is_an_os_error(root: Path) -> None:
    with pytest.raises(OSError, match="none"):
        read_bytes(root / "none")
    with pytest.raises(OSError, match="none"), open_binary(str(root / "none")):
        pass


def test_a_remote_folder_that_is_missing_is_empty(store: Any) -> None:
    assert names_in(location("memory://bucket/none")) == set()


def test_files_of_an_address_are_listed(store: Any) -> None:
    for name in ("a.JPG", "b.png", "c.txt", ".hidden/d.jpg", ".e.jpg", "deep/f.jpg"):
        store.pipe_file(f"/bucket/{name}", b"x")
    suffixes = {".jpg", ".png"}
    root = "memory://bucket"
    folder = [f"memory:///bucket/{name}" for name in ("a.JPG", "b.png", "deep/f.jpg")]
    listed = list_remote(root, suffixes)
    assert [file_system(name)[1] for name in listed] == [file_system(name)[1] for name in folder]
    assert list_remote(f"{root}/c.txt", suffixes) == [f"{root}/c.txt"]
    assert [Path(name).name for name in list_remote(f"{root}/*", suffixes)] == [
        ".e.jpg",
        "a.JPG",
        "b.png",
        "c.txt",
    ]
    with pytest.raises(UsageError, match="no image files there"):
        list_remote(f"{root}/*.gif", suffixes)


def test_errors_of_a_client_are_errors_of_showtell(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("token\nexpired")

    for method in ("cat_file", "pipe_file", "isfile", "ls"):
        monkeypatch.setattr(type(store), method, fail)
    path = location("memory://bucket/a")
    for call, kind in (
        (lambda: read_bytes(path), OSError),
        (lambda: names_in(path), OSError),
        (lambda: write_whole(path, b""), WriteError),
        (lambda: list_remote(str(path), ()), UsageError),
    ):
        with pytest.raises(kind, match="token expired"):
            call()


@pytest.mark.parametrize(
    ("address", "reason"), [("nosuch://a/b", "nosuch"), ("dropbox://a", r"pip install 'showtell\[cloud\]'")]
)
def test_an_unknown_file_system_is_named(address: str, reason: str, store: Any) -> None:
    with pytest.raises(UsageError, match=f"^{address}: .*{reason}"):
        location(address)
