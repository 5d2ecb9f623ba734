"""Downloads from a server of this machine: resumed, checked, and refused in one line."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from showtell.data.known import download as module
from showtell.data.known.download import download
from showtell.errors import DownloadError, UsageError
from tests.data.known.server import Site, serving

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/a.zip": CONTENT, "/empty": b""})) as site:
        yield site


def fetch(site: Site, target: Path, **settings: object) -> bytes:
    return download(f"{site.address}/a.zip", target, pause=0, **settings).read_bytes()  # type: ignore[arg-type]


def test_a_file_is_downloaded_whole(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.zip"
    assert fetch(site, target, size=len(CONTENT), md5=MD5) == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]


def test_an_empty_file_is_a_file(site: Site, tmp_path: Path) -> None:
    assert download(f"{site.address}/empty", tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_it_goes_on_where_it_stopped(site: Site, tmp_path: Path, size: int, ranges: bool) -> None:
    site.ranges = ranges
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:1000])
    assert fetch(site, tmp_path / "a.zip", size=size, md5=MD5) == CONTENT
    assert site.asked == [("/a.zip", "bytes=1000-")]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, len(CONTENT)), max_size=3))
def test_lost_connections_are_made_again(site: Site, tmp_path: Path, lost: list[int]) -> None:
    site.lose = list(lost)
    assert fetch(site, tmp_path / "a.zip", md5=MD5) == CONTENT
    site.lose.clear()


@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_a_partial_file_that_is_whole_gets_its_name(site: Site, tmp_path: Path, size: int) -> None:
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert fetch(site, tmp_path / "a.zip", size=size, md5=MD5) == CONTENT


@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_a_partial_file_that_is_too_long_is_begun_again(site: Site, tmp_path: Path, size: int) -> None:
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    assert fetch(site, tmp_path / "a.zip", size=size, md5=MD5) == CONTENT


def test_what_is_got_is_kept_when_it_is_given_up(site: Site, tmp_path: Path) -> None:
    site.lose = [500, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match="500 bytes are kept; run the same command again to continue"):
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").read_bytes() == CONTENT[:500]
    site.lose.clear()
    assert fetch(site, tmp_path / "a.zip") == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, status: int) -> None:
    site.broken = [status, status]
    assert fetch(site, tmp_path / "a.zip") == CONTENT


def test_a_damaged_file_is_deleted(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"its checksum \(MD5\) is .*, not 0{32}"):
        fetch(site, tmp_path / "a.zip", md5="0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_told_by_its_size(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is 10,240 bytes there, not 99"):
        fetch(site, tmp_path / "a.zip", size=99)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_address_that_is_gone_is_not_asked_again(site: Site, tmp_path: Path, status: int) -> None:
    site.broken = [status]
    with pytest.raises(DownloadError, match=f"the server answers {status}"):
        fetch(site, tmp_path / "a.zip")
    assert len(site.asked) == 1


def test_without_a_network_it_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DownloadError) as error:
        download(f"http://127.0.0.1:{port}/a.zip", tmp_path / "a.zip", pause=0)
    assert "cannot be downloaded (Connection refused); check the network, or put the file there" in str(
        error.value
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "data:,a", "a.zip"])
def test_only_web_addresses_are_opened(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an address"):
        download(url, tmp_path / "a")


def test_a_full_disk_is_told_before(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RESERVE", 2**60)
    with pytest.raises(UsageError, match="GB are free"):
        fetch(site, tmp_path / "a.zip")


def test_two_processes_do_not_write_one_file(site: Site, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".a.zip.lock"),
        pytest.raises(UsageError, match="another process downloads it"),
    ):
        fetch(site, tmp_path / "a.zip")


def test_the_lock_is_free_before_its_file_is_deleted_which_may_fail(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(path: Path, missing_ok: bool = False) -> None:
        with FileLock(path, timeout=0.01):  # raises if it is held
            asked.append(path.name)
        raise PermissionError(13, "Access is denied")

    asked: list[str] = []
    monkeypatch.setattr(Path, "unlink", unlink)
    assert fetch(site, tmp_path / "a.zip") == CONTENT
    assert asked == [".a.zip.lock"]


@pytest.mark.parametrize("error", [OSError(113, "No route to host"), ssl.SSLError(1, "bad record")])
def test_a_fault_of_the_network_within_a_file_is_tried_again(
    error: OSError, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [error]

    def read(response: HTTPResponse, amount: int) -> bytes:
        if faults:
            raise faults.pop()
        return whole(response, amount)

    whole = HTTPResponse.read
    monkeypatch.setattr(HTTPResponse, "read", read)
    assert fetch(site, tmp_path / "a.zip") == CONTENT
    assert len(site.asked) == 2
