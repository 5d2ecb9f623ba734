"""Object stores and other remote file systems (`s3://`, `gs://`, `hf://`, ...), by fsspec.

A location is a `Path` or, for an address, a `UPath`: it has the same methods, so it is typed as a `Path`.
What differs is in these functions: an object store writes an object as a whole, but it has neither locks, nor
appending, nor a cheap way to map a file into memory.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from showtell.errors import ShowtellError, UsageError
from showtell.utils.files import reraise_os_error, write_atomic

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[^:]+)*://")
_MAGIC: Final = re.compile(r"[*?\[]")


def is_remote(name: object) -> bool:
    """Whether a name is an address (`s3://bucket/photos`), not a path."""
    return _ADDRESS.match(str(name)) is not None


def location(name: str) -> Path:
    """The location of a path or an address.

    Raises:
        UsageError: the address is of a file system that is unknown, or whose package is not installed.
    """
    if not is_remote(name):
        return Path(name)
    try:
        from upath import UPath
    except ModuleNotFoundError as error:
        raise _missing(name, error.name or "universal-pathlib") from error
    file_system(name)
    path: Any = UPath(name.rstrip("/"))
    return path


def file_system(name: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.

    Raises:
        UsageError: the file system is unknown, its package is not installed, or it cannot be configured.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(name)
    except ImportError as error:
        raise _missing(name, str(error).rstrip(".")) from error
    except Exception as error:  # an unknown protocol; whatever clients of object stores raise
        raise UsageError(
            f"{name}: {_reason(error)}; correct the address or the settings of fsspec"
        ) from error
    return system, path


def list_remote(name: str, suffixes: Collection[str]) -> list[str]:
    """The files of an address, as addresses: those that match a pattern, those of a folder, or the file.

    Args:
        name: the address; a pattern has `*`, `?` or `[`.
        suffixes: endings, in lower case, of the files that are taken from a folder.

    Raises:
        UsageError: there are none, or the address cannot be read.
    """
    system, path = file_system(name)
    with _errors_as(name, UsageError):
        if system.isfile(path):
            return [name]
        if _MAGIC.search(path):
            paths = [each for each in system.glob(path) if not system.isdir(each)]
        else:
            paths = [each for each in system.find(path) if _is_taken(each, path, suffixes)]
    if not paths:
        raise UsageError(f"{name}: no image files there; correct the address")
    return [system.unstrip_protocol(each) for each in sorted(paths)]


def _is_taken(file: str, folder: str, suffixes: Collection[str]) -> bool:
    path = PurePosixPath(file)
    hidden = any(part.startswith(".") for part in file.removeprefix(folder).split("/"))
    return not hidden and path.suffix.lower() in suffixes


@contextmanager
def open_binary(name: str) -> Iterator[IO[bytes]]:
    """A file of a path or an address, opened for reading at any place.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(name):
        with Path(name).open("rb") as local:
            yield local
        return
    system, path = file_system(name)
    with _errors_as(name, OSError), system.open(path, "rb") as remote:
        yield remote


def read_bytes(name: str | Path, start: int | None = None, end: int | None = None) -> bytes:
    """The content of a file of a path or an address, or the bytes of it from `start` to before `end`.

    Raises:
        OSError: it cannot be read.
    """
    if is_remote(name):
        system, path = file_system(str(name))
        with _errors_as(str(name), OSError):
            content: bytes = system.cat_file(path, start=start, end=end)
        return content
    with Path(name).open("rb") as file:
        file.seek(start or 0)
        return file.read() if end is None else file.read(end - (start or 0))


def names_in(folder: Path) -> set[str]:
    """Names of the files and folders in a location; none if it is missing and remote.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(folder):
        return {path.name for path in folder.iterdir()}
    system, path = file_system(str(folder))
    with _errors_as(str(folder), OSError):
        system.invalidate_cache()  # other machines write there too
        try:
            return {PurePosixPath(each).name for each in system.ls(path, detail=False)}
        except FileNotFoundError:
            return set()


def write_whole(path: Path, content: bytes | str) -> Path:
    """Write a file of a location: afterwards it is there complete, or as it was before.

    Raises:
        WriteError: it cannot be written.
    """
    if not is_remote(path):
        return write_atomic(path, content)
    system, place = file_system(str(path))
    data = content.encode() if isinstance(content, str) else content
    with reraise_os_error(path), _errors_as(str(path), OSError):
        system.makedirs(system._parent(place), exist_ok=True)
        system.pipe_file(place, data)
    return path


@contextmanager
def _errors_as(name: str, kind: type[Exception]) -> Iterator[None]:
    """Convert other exceptions of a file system's client to `kind`."""
    try:
        yield
    except ShowtellError:
        raise
    except Exception as error:
        if isinstance(error, kind):
            raise
        raise kind(f"{name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _missing(name: str, what: str) -> UsageError:
    return UsageError(f"{name}: {what}; pip install 'showtell[cloud]' has what S3 and Google Cloud need")
