"""The rules that every annotation must keep, written once for all readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from showtell.config import DatasetFormat
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.records import CaptionedImage, Split
from showtell.errors import AnnotationError

Reason = Literal[
    "missing image file",
    "caption of an unknown image",
    "image without captions",
    "empty caption",
    "duplicate id",
    "duplicate image file",
    "two splits",
    "unknown split",
    "wrong fields",
    "broken JSON",
    "not UTF-8 text",
]

FIXES: dict[Reason, str] = {
    "missing image file": "put it there, or name the folder of the images with --data.images",
    "caption of an unknown image": "add its image, or remove the caption",
    "image without captions": "give it a caption, or remove it",
    "empty caption": "write at least one word, or remove the caption",
    "duplicate id": "give each its own id, or remove one",
    "duplicate image file": "list each image once",
    "two splits": "put the image in one split",
    "unknown split": "use train, val or test",
    "wrong fields": "correct the entry",
    "broken JSON": "correct the line",
    "not UTF-8 text": "save the file as UTF-8",
}
SKIP_HINT = "or drop and count such entries with --data.skip_bad true"


class EntryError(Exception):
    """One entry cannot be used; `Collector.entry` turns it into an `AnnotationError`, or counts it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that was dropped.

    Attributes:
        entry: the file, and the line or place in it.
        reason: what is wrong with it.
    """

    entry: str
    reason: Reason


@dataclass(frozen=True)
class LoadedAnnotations:
    """What a dataset holds.

    Attributes:
        images: its images in the order of their first appearance; at least one.
        skipped: the entries that were dropped; empty unless asked to skip bad ones. The captions of a dropped
            image go with it, without an entry each.
        format: how the annotations were written.
    """

    images: list[CaptionedImage]
    skipped: list[Skipped]
    format: DatasetFormat

    @property
    def skipped_by_reason(self) -> Counter[Reason]:
        """How many entries were dropped, by reason."""
        return Counter(item.reason for item in self.skipped)


@dataclass(slots=True)
class _Draft:
    path: Path
    split: Split
    entry: str
    captions: list[str] = field(default_factory=list)


class Collector:
    """Takes images and captions from a reader and refuses, or drops and counts, what cannot be used.

    A reader does all work on one entry inside `with collector.entry(name):`. Every rule that the entry breaks
    raises `EntryError` there, which becomes an `AnnotationError` or one more dropped entry.
    """

    def __init__(self, *, skip_bad: bool) -> None:
        self._skip_bad = skip_bad
        self._entry = ""
        self._drafts: dict[str, _Draft] = {}
        self._dropped: set[str] = set()  # ids of images that were refused
        self._paths: set[Path] = set()
        self._claimed: set[Hashable] = set()
        self._skipped: list[Skipped] = []

    def entry(self, name: str) -> Collector:
        """Name the entry at hand (the file, and the line or place in it), for a `with` block."""
        self._entry = name
        return self

    def __enter__(self) -> None:
        """Begin the entry."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """End the entry: raise, or drop and count it, if it broke a rule."""
        if not isinstance(error, EntryError):
            return False
        if not self._skip_bad:
            fix = f"{FIXES[error.reason]}, {SKIP_HINT}"
            raise AnnotationError(f"{self._entry}: {error}; {fix}") from error
        self._skipped.append(Skipped(self._entry, error.reason))
        return True

    def knows(self, image_id: str) -> bool:
        """Whether the image was added before (dropped ones count)."""
        return image_id in self._drafts or image_id in self._dropped

    def claim(self, *key: Hashable) -> None:
        """Note an id that may come once only, as (file, kind, number).

        Raises:
            EntryError: it came before.
        """
        if key in self._claimed:
            raise EntryError("duplicate id", " ".join(map(repr, key[1:])))
        self._claimed.add(key)

    def add_image(self, image_id: str, name: str, split: Split, folders: ImageFolders) -> None:
        """Add an image that was not seen before.

        Args:
            image_id: the dataset's own name for it.
            name: its file, relative to one of the folders.
            split: the part of the dataset it belongs to.
            folders: where to look for the file.

        Raises:
            EntryError: its id or file came before, or there is no such file.
        """
        if self.knows(image_id):
            raise EntryError("duplicate id", f"image {image_id!r}")
        self._dropped.add(image_id)  # until it has passed
        path = folders.find(_utf8(name))
        if path is None:
            raise EntryError("missing image file", f"{name!r} is not in {folders}")
        if path in self._paths:
            raise EntryError("duplicate image file", f"{name!r}")
        self._drafts[_utf8(image_id)] = _Draft(path, split, self._entry)
        self._dropped.remove(image_id)
        self._paths.add(path)

    def merge_image(self, name: str, split: Split | None, folders: ImageFolders) -> None:
        """Add an image that may come in several rows, named by its file.

        Args:
            name: its file, relative to one of the folders; also its id.
            split: the part of the dataset it belongs to; None where the row does not say: `train`, or what
                an earlier row said.
            folders: where to look for the file.

        Raises:
            EntryError: an earlier row put it in another split, or there is no such file.
        """
        if not self.knows(name):
            self.add_image(name, name, split or "train", folders)
        elif split and name in self._drafts and self._drafts[name].split != split:
            raise EntryError("two splits", f"{name!r} is in {self._drafts[name].split} and {split}")

    def add_caption(self, image_id: str, caption: object) -> None:
        """Add a caption (as written, without white space around it) to an image added before.

        Raises:
            EntryError: the image is not known, or the caption is not text or has no word.
        """
        draft = self._drafts.get(image_id)
        if draft is not None:
            draft.captions.append(_caption(caption))
        elif image_id not in self._dropped:
            raise EntryError("caption of an unknown image", f"{image_id!r}")

    def finish(self, source: Path, kind: DatasetFormat) -> LoadedAnnotations:
        """Close the collection.

        Raises:
            AnnotationError: an image has no caption (unless bad entries are skipped), or nothing is left.
        """
        images = []
        for image_id, draft in self._drafts.items():
            with self.entry(draft.entry):
                if not draft.captions:
                    raise EntryError("image without captions", f"{image_id!r}")
                images.append(CaptionedImage(draft.path, tuple(draft.captions), draft.split, image_id))
        if not images:
            why = f"entries dropped: {len(self._skipped)}" if self._skipped else "it has no entries"
            raise AnnotationError(
                f"{source}: no captioned image in it ({why}); correct it or name another dataset"
            )
        return LoadedAnnotations(images, self._skipped, kind)


def _utf8(text: str) -> str:
    """Pass text that UTF-8 can hold: undecodable bytes and broken JSON escapes cannot be written again."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise EntryError("not UTF-8 text", ascii(text[:60])) from None
    return text


def _caption(value: object) -> str:
    if not isinstance(value, str):
        raise EntryError("wrong fields", f"the caption is not text but {type(value).__name__}")
    if not any(map(str.isalnum, value)):
        raise EntryError("empty caption", repr(value[:60]))
    return _utf8(value.strip())
