"""Names that look the same to a person: Unicode normal forms, separators, endings, numbers with zeros."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

_NUMBER = re.compile(r"0*([0-9]+?)(?:\.0+)?")
_DRIVE = re.compile(r"[A-Za-z]:/")


def forward_slashes(name: str) -> str:
    """A path as written on any system, with `/` between its parts and without `./` before it."""
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def is_absolute(name: str) -> bool:
    """Whether a path with forward slashes begins at a root or a drive."""
    return name.startswith("/") or _DRIVE.match(name) is not None


def look_alike(name: str) -> str:
    """The same text for file names that a person takes for the same: composed, the ending in lower case."""
    name = unicodedata.normalize("NFC", name)
    stem, dot, ending = name.rpartition(".")
    return f"{stem}.{ending.lower()}" if dot else name


def same_file_name(name: str, other: str, path: Path) -> bool:
    """Whether two names that were found as the file `path` name it both, and not two files of other folders.

    They do if they look the same, or if each is the whole path of the file or a relative path that it ends
    with. An absolute path of another machine, or a URL, is found by its end alone.
    """
    return name_key(name) == name_key(other) or (_is_path_of(name, path) and _is_path_of(other, path))


def _is_path_of(name: str, path: Path) -> bool:
    plain = posixpath.normpath(forward_slashes(name.strip()))
    if is_absolute(plain):
        return os.path.realpath(plain) == os.path.realpath(path)
    places = ("/" + look_alike(place.as_posix()) for place in (path, path.with_suffix("")))
    return any(place.endswith("/" + look_alike(plain)) for place in places)


def number_alike(image_id: str) -> str:
    """The same text for ids that are the same number: `42`, `000042`, `42.0`; other ids composed."""
    match = _NUMBER.fullmatch(image_id.strip())
    return match[1] if match else unicodedata.normalize("NFC", image_id.strip())


def name_key(name: str) -> str:
    """The same text for paths that a person takes for the same."""
    return look_alike(forward_slashes(name.strip()))


def distinct_name_key(names: Iterable[str]) -> Callable[[str], str]:
    """`name_key`, but of those of `names` that a person would take for the same, each has its own key."""
    counts = Counter(map(name_key, names))

    def key(name: str) -> str:
        alike = name_key(name)
        return alike if counts[alike] <= 1 else f"as written: {forward_slashes(name)}"

    return key
