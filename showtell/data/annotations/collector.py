"""The rules that every annotation must keep, written once for all readers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from showtell.config import DatasetFormat
from showtell.data.annotations.entries import (
    Entries,
    EntryError,
    Reason,
    Skipped,
    caption_text,
    first_of_each,
    utf8_text,
)
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.names import number_alike, same_file_name
from showtell.data.records import CaptionAuthor, CaptionedImage, Split
from showtell.data.urls import is_url
from showtell.errors import AnnotationError


@dataclass(frozen=True)
class LoadedAnnotations:
    """The images, captions and splits of a dataset.

    Attributes:
        images: its images in the order of their first appearance; at least one.
        skipped: the entries that were dropped; empty unless asked to skip bad ones. The captions of a dropped
            image go with it, without an entry each.
        format: how the annotations were written.
        files: the annotation files that were read; empty if each image has a text file beside it.
        alternatives: other annotation files in the folder, which were not read.
        repeated: the number of rows that were dropped as they repeat an earlier one.
    """

    images: list[CaptionedImage]
    skipped: list[Skipped]
    format: DatasetFormat
    files: tuple[Path, ...] = ()
    alternatives: tuple[Path, ...] = ()
    repeated: int = 0

    @property
    def skipped_by_reason(self) -> Counter[Reason]:
        """How many entries were dropped, by reason."""
        return Counter(item.reason for item in self.skipped)


@dataclass(slots=True)
class _Draft:
    path: Path
    split: Split
    entry: str
    name: str = ""
    captions: list[str] = field(default_factory=list)
    authors: list[CaptionAuthor] = field(default_factory=list)

    def image(self, image_id: str) -> CaptionedImage:
        """The record; authors are kept only if a model is among them."""
        authors = tuple(self.authors) if "model" in self.authors else ()
        return CaptionedImage(self.path, tuple(self.captions), self.split, image_id, authors)


class Collector(Entries):
    """Takes images and captions from a reader and refuses, or drops and counts, what cannot be used.

    Args:
        skip_bad: see `Entries`.
        need_files: refuse images whose files are not there; else they keep the path where they belong.

    Attributes:
        files: the annotation files that were read.
        repeated: rows with the image and the caption of an earlier one, which were dropped.
    """

    def __init__(self, *, skip_bad: bool, need_files: bool = True) -> None:
        super().__init__(skip_bad=skip_bad)
        self._need_files = need_files
        self._drafts: dict[str, _Draft] = {}
        self._dropped: set[str] = set()  # ids of images that were refused
        self._ids: dict[Path, str] = {}  # of the images by their files
        self._spellings: dict[str, str] = {}  # ids of images by other spellings of their names
        self._alike: dict[str, str] = {}  # ids by what they look like; "" if several look alike
        self._rows: set[tuple[str, str]] = set()  # image id and caption of rows
        self.files: list[Path] = []
        self.repeated = 0

    def reads(self, file: Path) -> None:
        """Note that a file is read."""
        self.files.append(file)

    def knows(self, image_id: str) -> bool:
        """Whether the image was added before (dropped ones count)."""
        return image_id in self._drafts or image_id in self._dropped or image_id in self._spellings

    def _written(self, image_id: str) -> str:
        """The id as its image was added, if it is written otherwise: `42` for `000042` or `42.0`."""
        if not self.knows(image_id):
            return self._alike.get(number_alike(image_id)) or image_id
        return self._spellings.get(image_id, image_id)

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
        path = self._file(image_id, name, folders)
        if path in self._ids:
            raise EntryError("duplicate image file", f"{name!r}")
        self._add(image_id, path, split)

    def _file(self, image_id: str, name: str, folders: ImageFolders) -> Path:
        """The file of an image of a new id.

        Raises:
            EntryError: there is no such file.
        """
        self._dropped.add(image_id)  # until it has passed
        alike = number_alike(image_id)
        self._alike[alike] = "" if alike in self._alike else image_id
        path = folders.find(utf8_text(name))
        if path is None and not self._need_files:
            path = folders.first(name)
        if path is None:
            address = " and is a URL, which showtell does not download" if is_url(name) else ""
            raise EntryError("missing image file", f"{name!r} is not in {folders}{address}")
        return path

    def _add(self, image_id: str, path: Path, split: Split, name: str = "") -> None:
        self._drafts[utf8_text(image_id)] = _Draft(path, split, self._entry, name)
        self._dropped.remove(image_id)
        self._ids[path] = image_id

    def merge_image(self, name: str, split: Split | None, folders: ImageFolders, image_id: str = "") -> None:
        """Add an image that may come in several rows, named by its file; other spellings mean the same.

        Args:
            name: its file, relative to one of the folders.
            split: the part of the dataset it belongs to; None if the row does not say: `train`, or what
                an earlier row had.
            folders: where to look for the file.
            image_id: its id; without it, its name.

        Raises:
            EntryError: an earlier row put it in another split, there is no such file, or it was found for
                another name before.
        """
        key = image_id or name
        if not self.knows(key):
            path = self._file(key, name, folders)
            if path not in self._ids:
                self._add(key, path, split or "train", name)
                return
            first = self._drafts.get(self._ids[path])
            if first is not None and not same_file_name(name, first.name, path):
                both = f"{name!r} and {first.name!r} are both found as {path}"
                raise EntryError("duplicate image file", both)
            self._dropped.remove(key)
            self._spellings[key] = self._ids[path]
        draft = self._drafts.get(self._written(key))
        if split and draft is not None and draft.split != split:
            raise EntryError("two splits", f"{name!r} is in {draft.split} and {split}")

    def add_caption(self, image_id: str, caption: object, author: CaptionAuthor = "person") -> None:
        """Add a caption (as written, without white space around it) to an image added before.

        Args:
            image_id: as the image was added, or the same number written otherwise.
            caption: its text.
            author: who wrote it.

        Raises:
            EntryError: the image is not known, or the caption is not text or has no word.
        """
        image_id = self._written(image_id)
        draft = self._drafts.get(image_id)
        if draft is not None:
            draft.captions.append(caption_text(caption))
            draft.authors.append(author)
        elif image_id not in self._dropped:
            raise EntryError("caption of an unknown image", f"{image_id!r}")

    def add_row_caption(self, image_id: str, caption: object) -> None:
        """Add the caption of a row, unless an earlier row of the same image has the same.

        Raises:
            EntryError: see `add_caption`.
        """
        row = self._written(image_id), caption.strip() if isinstance(caption, str) else ""
        if row[0] in self._drafts and row in self._rows:
            self.repeated += 1
            return
        self.add_caption(image_id, caption)
        self._rows.add(row)

    def _why_none(self) -> str:
        """Why no image is left: how many entries were dropped, and the first of the most frequent reason."""
        if not self.skipped:
            return " (it has no entries); add some, or name another dataset"
        groups = first_of_each(self.skipped)
        counts = ", ".join(f"{count:,} x {item.reason}" for item, count in groups)
        return f" ({counts}), first {groups[0][0]}"

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
                images.append(draft.image(image_id))
        if not images:
            raise AnnotationError(f"{source}: no captioned image in it{self._why_none()}")
        return LoadedAnnotations(images, self.skipped, kind, tuple(self.files), repeated=self.repeated)
