"""A review: the photos that wait for a decision, and the decisions, each saved before it is answered."""

from __future__ import annotations

import logging
import os
import shlex
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout

from showtell.data.annotations.names import distinct_name_key
from showtell.data.find_images import find_images
from showtell.errors import ImageError, ShowtellError, UsageError, one_line
from showtell.serving.review.table import CaptionTable, SkippedList
from showtell.utils.files import read_small

log = logging.getLogger(__name__)

OUTPUT: Final = "captions.csv"
"""Name of the file of a folder's captions, which every command reads as annotations."""


@dataclass(frozen=True)
class ReviewItem:
    """A photo to decide on.

    Attributes:
        name: as it is written in the file of captions; unique in a review.
        image: its file.
        title: what the page calls it; empty for its name.
    """

    name: str
    image: Path
    title: str = ""


class Review:
    """The decisions on photos; safe to use from many threads.

    The files are read again before each decision and written as a whole, so a kill loses nothing that was
    answered, and rows that were there before, or that somebody adds meanwhile, stay.

    Args:
        items: all photos; those that have a caption in the file, or were skipped before, are not shown.
        output: the CSV file of the captions.
        folder: photos have to be inside it when they are read; None if they were checked already.
        kind: `captions` of photos, or `alt` texts, which begin with a capital letter.
        then: the command that uses the captions, for the page.

    Attributes:
        items: the photos to decide on, which their number names.
        decided_before: photos that earlier reviews decided on.

    Raises:
        AnnotationError: the file of the captions has a row that cannot be used.
    """

    def __init__(
        self,
        items: Sequence[ReviewItem],
        output: Path,
        *,
        folder: Path | None = None,
        kind: Literal["captions", "alt"] = "captions",
        then: str = "",
    ) -> None:
        self.output, self.kind, self.then = output, kind, then
        self._root = folder.resolve() if folder else None
        self._key = distinct_name_key(item.name for item in items)
        self._skipped = SkippedList(output, self._key)
        done = self._table().captioned() | set(map(self._key, self._skipped.names()))
        self.items = [item for item in items if self._key(item.name) not in done]
        self.decided_before = len(items) - len(self.items)
        self._decisions: dict[int, str | None] = {}
        self._lock = threading.Lock()

    def _table(self) -> CaptionTable:
        return CaptionTable.read(self.output, self._key)

    def decide(self, number: int, caption: str) -> None:
        """Save the caption of a photo.

        Raises:
            ShowtellError: the file cannot be written, or has become unreadable.
        """
        name = self.items[number].name
        with self._lock:
            self._table().replace(name, caption)
            self._skipped.set(name, skipped=False)
            self._decisions[number] = caption

    def skip(self, number: int) -> None:
        """Save that a photo gets no caption.

        Raises:
            ShowtellError: a file cannot be written, or has become unreadable.
        """
        name = self.items[number].name
        with self._lock:
            self._skipped.set(name, skipped=True)
            self._withdraw(number)
            self._decisions[number] = None

    def undo(self, number: int) -> None:
        """Take a decision back, in the files too.

        Raises:
            ShowtellError: a file cannot be written, or has become unreadable.
        """
        with self._lock:
            self._withdraw(number)
            self._skipped.set(self.items[number].name, skipped=False)
            self._decisions.pop(number, None)

    def _withdraw(self, number: int) -> None:
        if self._decisions.get(number) is not None:
            self._table().replace(self.items[number].name, None)

    def decision(self, number: int) -> tuple[bool, str | None]:
        """Whether a photo was decided on in this review, and its caption; None if it was skipped."""
        return number in self._decisions, self._decisions.get(number)

    def counts(self) -> tuple[int, int]:
        """How many captions were saved, and how many photos skipped, in this review."""
        saved = sum(caption is not None for caption in list(self._decisions.values()))
        return saved, len(self._decisions) - saved

    def next_after(self, number: int) -> int | None:
        """The first photo without a decision after this one, else from the start; None if all have one."""
        for index in (*range(number + 1, len(self.items)), *range(min(number + 1, len(self.items)))):
            if index not in self._decisions:
                return index
        return None

    def read(self, number: int, limit: int) -> bytes:
        """The file of a photo, as it is now.

        Args:
            number: of the photo.
            limit: maximum number of bytes.

        Raises:
            ImageError: it is not there, leads out of the folder by a link, or is larger.
        """
        item = self.items[number]
        try:
            real = item.image.resolve(strict=True)
            if self._root and not real.is_relative_to(self._root):
                raise ImageError(item.name, "a symbolic link that leads out of the folder")
            return read_small(real, limit)
        except OSError as error:
            raise ImageError(item.name, f"it cannot be read ({error.strerror or error})") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other reviews from the file of the captions during the block.

        Raises:
            UsageError: another one has it, or its folder cannot be written.
        """
        file = self.output.with_name(f".{self.output.name}.lock")
        lock = FileLock(file)
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0.1)
        except Timeout as error:
            raise UsageError(f"{self.output}: another review writes it; stop that one first") from error
        except OSError as error:
            raise UsageError(f"{self.output}: cannot be written ({error.strerror or error})") from error
        try:
            yield
        finally:
            with suppress(OSError):
                file.unlink()
            lock.release()


def review_folder(folder: Path, output: Path | None = None) -> Review:
    """A review of the photos of a folder, and of the folders in it.

    Symbolic links that lead out of the folder, and what is no regular file, are left alone.

    Args:
        folder: the photos.
        output: the CSV file of the captions; by default `captions.csv` in the folder.

    Raises:
        UsageError: there is no such folder, it has no photos, or `output` is no .csv file.
        AnnotationError: the file of the captions has a row that cannot be used.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name the folder of your photos")
    output = output or folder / OUTPUT
    check_output(output)
    root = folder.resolve()
    items, left = [], 0
    for name in find_images([str(folder)]):
        if _is_own(Path(name), root):
            items.append(ReviewItem(Path(os.path.relpath(name, folder)).as_posix(), Path(name)))
        else:
            log.debug("left alone %s", one_line(name))
            left += 1
    if left:
        log.warning("left alone %d: links out of the folder, no regular files, or names not in UTF-8", left)
    if not items:
        raise UsageError(f"{folder}: no photos in this folder that may be read")
    return Review(items, output, folder=folder, then=_training(folder, output))


def check_output(output: Path) -> None:
    """Check the name of the file of the captions.

    Raises:
        UsageError: it is no .csv file.
    """
    if output.suffix.lower() != ".csv" or output.is_dir():
        raise UsageError(f"{output}: name a .csv file for the captions")


def _is_own(path: Path, root: Path) -> bool:
    try:
        real = path.resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)
        str(path).encode("utf-8")  # a table cannot hold bytes that are no text
    except (OSError, ShowtellError, UnicodeEncodeError):
        return False
    return regular and real.is_relative_to(root)


def _training(folder: Path, output: Path) -> str:
    """The command that trains on the captions."""
    data = folder if output.resolve() == (folder / OUTPUT).resolve() else output
    images = (
        "" if output.parent.resolve() == folder.resolve() else f" --data.images {shlex.quote(str(folder))}"
    )
    return f"python main.py --init everyday --data.root {shlex.quote(str(data))}{images}"
