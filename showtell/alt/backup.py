"""A backup of changed files: the old content first, a list of changes, then the new content; and undo."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from dataclasses import replace as changed
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from showtell.alt.documents import digest
from showtell.alt.exchange import OLD
from showtell.alt.replacing import check_replaceable, discard, replace_file
from showtell.errors import DataError, ShowtellError, UsageError
from showtell.utils.files import write_atomic

MANIFEST: Final = "changes.jsonl"
_LONGEST_NAME: Final = 180
"""Bytes kept of a file's name in the name of its copy; systems allow 255."""

Undone = Literal["restored", "as before", "changed since", "gone", "not restored"]


@dataclass(frozen=True)
class Change:
    """A file that was changed.

    Attributes:
        file: absolute path.
        copy: name of its old content in the backup's folder; empty if the file was left alone after all.
        before: SHA-256 of the old content.
        after: SHA-256 of the new.
        temporary: absolute path of the new file, before it is exchanged with the old one.
        complete: whether the new file was complete: from then on `temporary` may be the old one.
    """

    file: str
    copy: str
    before: str
    after: str
    temporary: str = ""
    complete: bool = False


class _TakenError(UsageError):
    """The folder is there already."""


class Backup:
    """Replaces files, and keeps their old content.

    Each file's old content is in the folder, and the change on its list, before the file is replaced in one
    step: after a kill at any moment `undo` restores all.

    Args:
        folder: new folder for the old content; made at once, so that no other run can take it.

    Attributes:
        folder: as given.
        count: files changed.

    Raises:
        UsageError: the folder is there already, or cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True)  # its copies may be of files that others must not read
            (folder / MANIFEST).touch()
        except FileExistsError as error:
            raise _TakenError(f"{folder}: this is there already; name a new folder for the backup") from error
        except OSError as error:
            raise UsageError(f"{folder}: no backup can be made there ({error.strerror or error})") from error
        self.folder, self.count = folder, 0
        self._real = folder.resolve()
        self._tried = 0

    @classmethod
    def named_by_time(cls, parent: Path) -> Backup:
        """A backup in a new folder of `parent`, named by the time; of two runs each gets its own."""
        name = datetime.now().strftime("%Y%m%d-%H%M%S")
        number = 1
        while True:
            with suppress(_TakenError):
                return cls(parent / (name if number == 1 else f"{name}-{number}"))
            number += 1

    def replace(self, path: Path, expected: bytes, content: bytes) -> None:
        """Give a file a new content; a symbolic link stays one, and all attributes stay as they were.

        Args:
            path: the file.
            expected: its content when it was read.
            content: the new one.

        Raises:
            DataError: the file cannot be replaced without harm, or is another one by now; it is as it was.
            OSError: no room, or no permission; the file is as it was.
        """
        real = path.resolve()
        check_replaceable(real)
        copy = self._real / f"{self._tried:06}-{_shortened(real.name)}"
        self._tried += 1
        change = Change(str(real), copy.name, digest(expected), digest(content))
        try:
            write_atomic(copy, expected)
            shutil.copystat(real, copy)
            old = _replace(self._real, change, expected, content)
        except (ShowtellError, OSError):
            with suppress(OSError):
                _note(self._real, changed(change, copy=""))
                copy.unlink()
            raise
        except BaseException:
            self.count += 1  # interrupted: it may have to be undone
            raise
        self.count += 1
        if old.parent == self._real and old.exists():
            with suppress(OSError):  # there is a copy already
                old.replace(copy)  # the very file: what comes through a handle that is still open is kept
        else:
            discard(old, expected)

    def close(self) -> None:
        """Delete the folder if nothing was changed."""
        if self.count == 0:
            (self.folder / MANIFEST).unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()


def undo(folder: Path) -> Iterator[tuple[Path, Undone, str]]:
    """Restore the files of a backup; those that were changed since by others are left alone.

    What cannot be restored is reported, and the others are restored. It can be run again.

    Yields:
        Each file, what became of it, and why it was not restored.

    Raises:
        UsageError: this is no backup.
    """
    folder = folder.resolve()
    try:
        lines = (folder / MANIFEST).read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{folder}: no backup of showtell there (no {MANIFEST})") from error
    changes: dict[str, Change] = {}
    for number, line in enumerate(lines[:-1], start=1):  # a kill cuts the last: its file was not changed yet
        change = _read_change(line)
        if change:
            changes[change.file] = change  # the last one counts
        else:
            yield folder / MANIFEST, "not restored", f"line {number} is damaged: {line[:80]!r}"
    for change in reversed(changes.values()):
        if not change.copy:
            continue
        try:
            yield Path(change.file), _restore(folder, change), ""
        except OSError as error:
            yield Path(change.file), "not restored", f"{error.filename or ''}: {error.strerror or error}"
        except ShowtellError as error:
            yield Path(change.file), "not restored", str(error).removeprefix(f"{change.file}: ")


def _read_change(line: bytes) -> Change | None:
    try:
        change = Change(**json.loads(line))
    except (ValueError, TypeError):
        return None
    values = list(asdict(change).values())
    return change if all(isinstance(value, str | bool) for value in values) and change.file else None


def _restore(folder: Path, change: Change) -> Undone:
    """Put the old content back.

    Raises:
        DataError: the copy is damaged, or the file cannot be replaced without harm.
        OSError: it cannot be read or written.
    """
    file, copy = Path(change.file), folder / change.copy
    if file.is_symlink() or not file.is_file():
        return "changed since" if os.path.lexists(file) else "gone"
    present = file.read_bytes()
    edited = _clean(change)
    if digest(present) == change.before:
        return "as before"
    if digest(present) != change.after:
        return "changed since"
    source = edited or copy
    content = source.read_bytes()
    if not edited and digest(content) != change.before:
        raise DataError(f"its copy {copy} is damaged, or was edited; compare by hand")
    discard(_replace(folder, change, present, content, times=source.stat()), present)
    if edited:
        discard(edited, content)
    return "restored"


def _clean(change: Change) -> Path | None:
    """Delete what a kill has left of a change.

    Returns:
        A file that was edited right before the new one was exchanged with it, if there is one.
    """
    for name in (change.temporary, change.temporary + OLD) if change.temporary else ():
        path = Path(name)
        if not path.is_file():
            continue
        if change.complete and digest(path.read_bytes()) not in (change.before, change.after):
            return path
        path.unlink()
    return None


def _replace(
    folder: Path, change: Change, old: bytes, new: bytes, times: os.stat_result | None = None
) -> Path:
    """Replace the file of a change, with notes before. Returns where the file is now that was there."""
    file, token = Path(change.file), secrets.token_hex(8)
    beside = file.with_name(f".{token}.showtell")  # where the backup is on another file system

    def note(temporary: Path, complete: bool) -> None:
        _note(folder, changed(change, temporary=str(temporary), complete=complete))

    return replace_file(file, old, new, (folder / f".{token}.new", beside), note, times)


def _note(folder: Path, change: Change) -> None:
    """Append a line to the list, flushed to the disk; one that a kill or a full disk has cut is deleted."""
    with (folder / MANIFEST).open("ab+") as manifest:
        end = manifest.seek(0, os.SEEK_END)
        if end and (manifest.seek(end - 1), manifest.read())[1] != b"\n":
            manifest.seek(0)
            end = manifest.read().rfind(b"\n") + 1
            manifest.truncate(end)
        manifest.write(json.dumps(asdict(change)).encode() + b"\n")
        manifest.flush()
        os.fsync(manifest.fileno())


def _shortened(name: str) -> str:
    """The end of a name, so that the name of a copy is not too long for the system."""
    return os.fsdecode(os.fsencode(name)[-_LONGEST_NAME:])
