"""Writing files so that a reader, or a kill at any moment, never meets half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Write a whole file: afterwards it is there complete, or as it was before.

    The content goes to a new file in the same folder, is flushed to the disk, and takes the name in one step
    (`os.replace`). Folders that are missing are made.

    Args:
        path: the file to write or replace.
        content: its bytes, or its text (written as UTF-8, line ends as they are).

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written (no room, no permission); what was there before is untouched.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


def sync_folder(folder: Path) -> None:
    """Flush the folder's entry of a renamed file, where the system has such a thing (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
