"""Expand files, folders, globs and standard input to image file names."""

from __future__ import annotations

import glob
import itertools
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from showtell.data.urls import NOT_DOWNLOADED, is_url
from showtell.errors import UsageError
from showtell.utils.files import path_exists
from showtell.utils.keywords import did_you_mean_path

# fmt: off
IMAGE_SUFFIXES: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".avif", ".heic", ".heif", ".jp2", ".ppm", ".pgm", ".pnm",
})
# fmt: on
"""Endings, in lower case, of the files that are taken from a folder."""

_COMPRESSED: Final = frozenset(
    {".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst", ".zip", ".7z", ".rar"}
)
"""Endings of archives that have to be unpacked."""
CONTAINERS: Final = frozenset({".tar", ".parquet"})
"""Endings, in lower case, of files that hold many images."""
_LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin", "lost+found"})


def find_images(
    inputs: Sequence[str],
    *,
    recursive: bool = True,
    stdin: TextIO | None = None,
    suffixes: Collection[str] = IMAGE_SUFFIXES,
) -> Iterator[str]:
    """Name the image files that are meant, lazily and in the order given; duplicates are kept.

    Every input is looked at before this returns, so that a mistake shows before any work starts; a folder
    is then read as the names are taken, and standard input line by line.

    Args:
        inputs: each is one of
            - a file: its name exactly as given, even if there is no such file (decoding it reports that);
            - a folder: its image files by suffix, sorted, without hidden files and folders. Links to folders
              are followed, once each. A folder within that cannot be read is named too, so that it is
              reported with the images that failed;
            - a glob, such as `*.jpg` or `photos/**/*.png`: the files that match, sorted;
            - `-`: names of files on standard input, one per line.
        recursive: look into the folders of a folder too.
        stdin: the text that `-` stands for; without it, standard input.
        suffixes: endings, in lower case, of the files that are taken from a folder.

    Raises:
        UsageError: a folder without images or that is not there, a glob that matches no file, an archive, an
            address of the web, or an empty name.
    """
    return itertools.chain.from_iterable([_expand(name, recursive, stdin, suffixes) for name in inputs])


def _expand(name: str, recursive: bool, stdin: TextIO | None, suffixes: Collection[str]) -> Iterable[str]:
    if not name:
        raise UsageError("an empty name was given for an image; name a file, a folder, a glob or -")
    if name == "-":
        return _lines(sys.stdin if stdin is None else stdin)
    path = Path(name)
    exists = path_exists(path)
    if exists and path.is_dir():
        return _at_least_one(_walk(name, recursive, suffixes), f"{name}: no image files in this folder")
    if is_url(name) and not exists:
        raise UsageError(f"{name[:80]}: {NOT_DOWNLOADED}")
    if glob.has_magic(name) and not exists:
        return _at_least_one(iter(_matches(name)), f"{name}: no file matches this pattern")
    _check_kind(name, path, suffixes, exists=exists)
    return (name,)


def _check_kind(name: str, path: Path, suffixes: Collection[str], *, exists: bool) -> None:
    """Refuse a folder that is not there, and a file of many images that is none to be decoded.

    Raises:
        UsageError: it is one of these.
    """
    suffix = path.suffix.lower()
    if not exists:
        if name.endswith(("/", os.sep)) or not suffix:
            others = path.parent.glob("*") if path_exists(path.parent) else ()
            beside = [str(other) for other in others if other.is_dir()]
            suggestion = did_you_mean_path(str(path), beside)
            raise UsageError(f"{name}: no such file or folder{suggestion}")
    elif suffix in _COMPRESSED:
        raise UsageError(f"{name}: a compressed archive; unpack it, and name the folder of its photos")
    elif suffix in CONTAINERS and suffix not in suffixes:
        raise UsageError(f"{name}: a file of many photos, which showtell scale caption reads")


def _at_least_one(names: Iterator[str], complaint: str) -> Iterator[str]:
    for first in names:
        return itertools.chain((first,), names)
    raise UsageError(complaint)


def _lines(stream: TextIO | None) -> Iterator[str]:
    if stream is None:  # closed before Python started
        raise UsageError("-: standard input is closed; name files or folders, or pipe names to it")
    return (name for line in stream if (name := line.rstrip("\r\n")))


def _matches(pattern: str) -> list[str]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(name for name in names if Path(name).is_file())


def is_left_by_system(name: str) -> bool:
    """Whether a name is hidden (`._photo.jpg`, `.DS_Store`) or that of a file that a system leaves."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _is_new(path: str, top: str, linked: set[str]) -> bool:
    """Whether a folder is walked: a link is followed once, and not to what is walked without it."""
    if not os.path.islink(path):  # noqa: PTH114
        return True
    real = os.path.realpath(path)
    if _is_within(real, top) or _is_within(top, real) or any(_is_within(real, other) for other in linked):
        return False
    linked.add(real)
    return True


def _is_within(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath([path, folder]) == folder
    except ValueError:  # on different drives
        return False


def _walk(folder: str, recursive: bool, suffixes: Collection[str]) -> Iterator[str]:
    """Image files of a folder, then those of its folders; a folder that cannot be read is named itself."""
    top = os.path.realpath(folder)
    linked: set[str] = set()
    waiting = [str(Path(folder))]
    while waiting:
        root = waiting.pop()
        try:
            files, folders = _entries(root, suffixes)
        except OSError:
            yield root
            continue
        for name in files:
            yield str(Path(root, name))
        if recursive:
            below = [str(Path(root, name)) for name in folders]
            waiting += reversed([path for path in below if _is_new(path, top, linked)])


def _entries(folder: str, suffixes: Collection[str]) -> tuple[list[str], list[str]]:
    """The names of a folder's image files and of its folders, sorted.

    Raises:
        OSError: it cannot be read.
    """
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_left_by_system(entry.name):
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in suffixes and _is_file(entry):  # noqa: PTH122
                files.append(entry.name)
    return sorted(files), sorted(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a link that leads nowhere; opening a named pipe would wait for ever."""
    try:
        return entry.is_file() or (entry.is_symlink() and not path_exists(Path(entry.path)))
    except OSError:
        return True
