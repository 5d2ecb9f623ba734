"""Changing files so that it can be undone: the old content first, a list of what was done, then the new."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from showtell.alt.pages import digest
from showtell.errors import DataError, UsageError
from showtell.files import write_atomic

MANIFEST: Final = "changes.jsonl"
Undone = Literal["restored", "as before", "changed since", "gone"]


@dataclass(frozen=True)
class Change:
    """A file that was changed.

    Attributes:
        file: absolute path.
        copy: name of its old content in the backup's folder.
        before: SHA-256 of the old content.
        after: SHA-256 of the new.
    """

    file: str
    copy: str
    before: str
    after: str


class Backup:
    """Replaces files, and keeps what they were.

    Each file's old content is in the folder, and the change on its list, before the file is replaced in one
    step: after a kill at any moment `undo` restores all.

    Args:
        folder: made at the first change; must not be there yet.

    Attributes:
        count: files changed.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists():
            raise UsageError(f"{folder}: this is there already; name a new folder for the backup")
        self.folder, self.count = folder, 0

    def replace(self, path: Path, expected: bytes, content: bytes) -> None:
        """Give a file a new content; a symbolic link stays one, and permissions stay as they were.

        Args:
            path: the file.
            expected: its content when it was read.
            content: the new one.

        Raises:
            DataError: the file is another one by now.
            OSError: no room, or no permission; the file is as it was.
        """
        real = path.resolve()
        if real.read_bytes() != expected:
            raise DataError(f"{path}: it has changed since it was read; run again")
        copy = f"{self.count:06}-{real.name}"
        write_atomic(self.folder / copy, expected)
        shutil.copystat(real, self.folder / copy)
        change = Change(str(real), copy, digest(expected), digest(content))
        with (self.folder / MANIFEST).open("a", encoding="utf-8", errors="backslashreplace") as manifest:
            manifest.write(json.dumps(asdict(change)) + "\n")
            manifest.flush()
            os.fsync(manifest.fileno())
        self.count += 1
        _replace(real, content)


def undo(folder: Path) -> Iterator[tuple[Path, Undone]]:
    """Restore the files of a backup; those that were changed since by others are left alone.

    Yields:
        Each file, and what became of it.

    Raises:
        UsageError: this is no backup, or it is damaged.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: no backup of showtell there (no {MANIFEST})") from error
    complete = text.split("\n")[:-1]  # after a kill the last line may not be: its file was not changed yet
    for change in reversed([_read_change(folder, line) for line in complete]):
        file, copy = Path(change.file), folder / change.copy
        if not file.is_file():
            yield file, "gone"
            continue
        present = digest(file.read_bytes())
        if present == change.before:
            yield file, "as before"
        elif present != change.after:
            yield file, "changed since"
        else:
            _replace(file, copy.read_bytes())
            shutil.copystat(copy, file)
            yield file, "restored"


def _read_change(folder: Path, line: str) -> Change:
    try:
        change = Change(**json.loads(line))
        if digest((folder / change.copy).read_bytes()) == change.before:
            return change
    except (ValueError, TypeError, OSError):
        pass
    raise UsageError(f"{folder}: this backup is damaged ({line[:80]}); restore its files by hand")


def _replace(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    write_atomic(path, content)
    path.chmod(mode)
