"""Downloads that are resumed, and verified before the file gets its name."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from tqdm import tqdm

from showtell import __version__
from showtell.errors import DownloadError, UsageError
from showtell.utils.files import durable_rename, reraise_os_error
from showtell.utils.progress import bars_hidden

log = logging.getLogger(__name__)

_CHUNK: Final = 2**20
_SECONDS: Final = 30
"""Without a byte for so long, a connection counts as lost."""
_TRIES: Final = 4
"""Connections that are lost one after the other, without a byte, before it is given up."""
_RESERVE: Final = 2**26
"""Bytes that stay free on the disk."""


def download(url: str, target: Path, *, size: int = 0, md5: str = "", pause: float = 2.0) -> Path:
    """Download a file; what an earlier try has got is not asked for again.

    It is written to `<target>.part`, whose end is asked for if it exists (HTTP ranges). The file gets its
    name when its size and checksum are right.

    Args:
        url: http or https.
        target: the file to write; one that exists is replaced.
        size: bytes that it has to have; 0 if that is not known.
        md5: its checksum (hex), or empty.
        pause: seconds before a lost connection is tried again.

    Raises:
        DownloadError: the address cannot be reached, or holds something else.
        UsageError: there is no room for it, another process downloads it, or the address is none.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{url[:100]}: not an address that begins with http:// or https://")
    part = target.with_name(f"{target.name}.part")
    with reraise_os_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        try:
            lock.acquire(timeout=0.1)
        except Timeout as error:
            raise UsageError(f"{target}: another process downloads it; wait for that one") from error
        try:
            _fetch(url, part, size, pause)
            _verify(url, part, md5)
            durable_rename(part, target)
        finally:
            lock.release()
            with suppress(OSError):  # Windows deletes no file that another process has opened
                Path(lock.lock_file).unlink(missing_ok=True)
    return target


def _fetch(url: str, part: Path, size: int, pause: float) -> None:
    """Bring a partial file to its full size."""
    failed = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        if size and before > size:
            part.unlink()
            before = 0
        try:
            if (size and before == size) or _fetch_rest(url, part, before, size):
                return
        except HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                fix = "see the dataset's page (showtell data list NAME) for its new address"
                raise DownloadError(
                    f"{url}: the server answers {error.code} {error.reason}; {fix}"
                ) from error
            reason = f"{error.code} {error.reason}"
        except (URLError, TimeoutError, http.client.HTTPException, ConnectionError) as error:
            reason = _reason(error)
        else:
            reason = "the connection was lost"
        got = part.stat().st_size if part.exists() else 0
        failed = 1 if got > before else failed + 1
        if failed >= _TRIES or (not got and _is_unreachable(reason)):
            kept = f"; {got:,} bytes are kept; run the same command again to continue" if got else ""
            raise DownloadError(
                f"{url}: cannot be downloaded ({reason}); check the network, or put the file there by hand:"
                f" {part.with_suffix('')}{kept}"
            )
        log.debug("%s: %s; trying again", url, reason)
        time.sleep(pause)


def _is_unreachable(reason: str) -> bool:
    """Whether trying again makes no sense: there is no network, or no such host."""
    return any(words in reason.lower() for words in ("name", "unreachable", "refused", "nodename"))


def _fetch_rest(url: str, part: Path, start: int, size: int) -> bool:
    """Ask for what is missing of a file and append it; whether it is complete then."""
    headers = {"User-Agent": f"showtell/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=_SECONDS)
    except HTTPError as error:
        if error.code == 416 and start:
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                return True
            part.unlink()
            return False
        raise
    with response:
        if start and response.status != 206:  # this server sends it from the beginning
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else 0
        if size and total and total != size:
            raise DownloadError(
                f"{url}: is {total:,} bytes there, not {size:,}: a newer version, or not the file; see the"
                " dataset's page (showtell data list NAME)"
            )
        _check_room(part, total - start)
        with part.open("ab" if start else "wb") as file:
            _copy(response, file, part.stem, start, total)
            file.flush()
            os.fsync(file.fileno())
            return not total or file.tell() == total


def _copy(response: IO[bytes], file: IO[bytes], name: str, start: int, total: int) -> None:
    bar = tqdm(
        total=total or None,
        initial=start,
        desc=name,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=bars_hidden(),
    )
    with bar:
        while chunk := _read_chunk(response):
            file.write(chunk)
            bar.update(len(chunk))


def _read_chunk(response: IO[bytes]) -> bytes:
    """The next bytes of a response; any fault of the network is a ConnectionError, unlike that of a disk."""
    try:
        return response.read(_CHUNK)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:  # no route, TLS
        raise ConnectionError(error.strerror or str(error)) from error


def _check_room(part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted > free - _RESERVE:
        raise UsageError(
            f"{part.parent}: {free / 1e9:.1f} GB are free, {wanted / 1e9:.1f} GB are needed; make room, or"
            " choose another --root"
        )


def _verify(url: str, part: Path, md5: str) -> None:
    """Compare the checksum; a file that is another is deleted.

    Raises:
        DownloadError: it is another.
    """
    if not md5:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with (
        part.open("rb") as file,
        tqdm(
            total=part.stat().st_size, desc="checksum", unit="B", unit_scale=True, disable=bars_hidden()
        ) as bar,
    ):
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    if digest.hexdigest() != md5:
        part.unlink()
        raise DownloadError(
            f"{url}: its checksum (MD5) is {digest.hexdigest()}, not {md5}: damaged, or not the file; it was"
            " deleted: run the same command again"
        )


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__
