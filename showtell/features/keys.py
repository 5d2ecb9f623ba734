"""Keys of images in the feature cache: an image file that changes has another key."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from showtell.features.encoding import ImageView

KEY_BYTES: Final = 16


class ImageKeys:
    """Keys of (path, view) pairs, remembered until `forget`."""

    def __init__(self) -> None:
        self._keys: dict[ImageView, bytes] = {}
        self._folders: dict[str, str] = {}

    def __call__(self, item: ImageView) -> bytes:
        """Key of an image file (its path, size and time of change) and a view."""
        key = self._keys.get(item)
        if key is None:
            path, view = item
            try:
                key = self._keys[item] = _hash(f"{self._identity(path)}\0{view}")
            except OSError:
                return _hash(f"{path.absolute()}\0missing\0{view}")  # not remembered: it may come
        return key

    def forget(self) -> None:
        """Look at the files again: they may have changed."""
        self._keys.clear()
        self._folders.clear()

    def _identity(self, path: Path) -> str:
        """The file's path without symbolic links, its size and time of change.

        `Path.resolve` asks for every folder on the way; here each folder is resolved once.
        """
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            folder, name = os.path.split(path)
            if folder not in self._folders:
                self._folders[folder] = os.path.realpath(folder)
            resolved = os.path.join(self._folders[folder], name)  # noqa: PTH118 (twice as fast as Path)
        else:
            resolved, status = os.path.realpath(path), path.stat()
        return f"{resolved}\0{status.st_size}\0{status.st_mtime_ns}"


def _hash(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode(errors="surrogateescape"), digest_size=KEY_BYTES).digest()
