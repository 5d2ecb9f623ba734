"""Compare a dataset folder with its annotations: present, missing and unusable images."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from showtell.config import DatasetFormat
from showtell.data.annotations import LoadedAnnotations, load_annotations
from showtell.data.annotations.entries import Reason
from showtell.data.annotations.flickr8k import list_files
from showtell.data.annotations.listing import split_in_name
from showtell.data.find_images import find_images
from showtell.data.images import decode_image
from showtell.data.known.catalog import KnownDataset, recognise
from showtell.data.known.unpack import is_archive
from showtell.data.records import CaptionedImage, Split
from showtell.errors import ImageError, UsageError
from showtell.utils.progress import bars_hidden

SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
_THREADS: Final = 4


@dataclass(frozen=True)
class SplitCheck:
    """A split.

    Attributes:
        images: that the annotations name.
        present: of these, how many files are there.
        captions: of all of them.
    """

    images: int
    present: int
    captions: int


@dataclass(frozen=True)
class DatasetCheck:
    """The result of a check.

    Attributes:
        root: the folder, or the annotation file.
        loaded: the annotations that can be used.
        known: the dataset that it is, or a part of; None for one of one's own.
        splits: each split that there is.
        missing: image files that are not there.
        decided_by: which file says what is in which split.
        uncaptioned: photos in the folder that no annotation names.
        archives: archives that lie in the folder.
        unreadable: images that cannot be decoded, with the reason; empty if that was not asked for.
    """

    root: Path
    loaded: LoadedAnnotations
    known: KnownDataset | None
    splits: dict[Split, SplitCheck]
    missing: list[Path]
    decided_by: str
    uncaptioned: int
    archives: list[str]
    unreadable: dict[Path, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """The images that the annotations name."""
        return sum(split.images for split in self.splits.values())

    @property
    def present(self) -> int:
        """Of these, how many are there."""
        return self.images - len(self.missing)

    @property
    def unusable(self) -> Counter[Reason]:
        """The entries that cannot be used, by reason."""
        return self.loaded.skipped_by_reason

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, unusable or unreadable."""
        return not (self.missing or self.unusable or self.unreadable)


def check_dataset(
    root: str | Path,
    *,
    format: DatasetFormat = "auto",  # noqa: A002 (its name in the configuration)
    images: str | Path | None = None,
    decode: bool = False,
) -> DatasetCheck:
    """Read the annotations of a folder and look which of their images are there.

    Args:
        root: the dataset's folder, or its annotation file.
        format: how the annotations are written.
        images: folder of the images, if it is not beside the annotations.
        decode: decode each image too.

    Raises:
        UsageError: the root or the folder of the images is not there.
        AnnotationError: it is no dataset, or none of its entries can be used.
    """
    root, images = Path(root), None if images is None else Path(images)
    loaded = load_annotations(root, format=format, images=images, skip_bad=True, need_files=False)
    present = [image for image in loaded.images if image.path.is_file()]
    there = {id(image) for image in present}
    splits: dict[Split, SplitCheck] = {}
    for split in SPLITS:
        if inside := [image for image in loaded.images if image.split == split]:
            splits[split] = SplitCheck(
                len(inside),
                sum(id(image) in there for image in inside),
                sum(len(image.captions) for image in inside),
            )
    home = root if root.is_dir() else root.parent
    return DatasetCheck(
        root,
        loaded,
        recognise(loaded.files),
        splits,
        [image.path for image in loaded.images if id(image) not in there],
        _decided_by(loaded, set(splits)),
        _uncaptioned(images or home, present),
        sorted(path.name for path in home.iterdir() if path.is_file() and is_archive(path)),
        _unreadable([image.path for image in present]) if decode else {},
    )


def _decided_by(loaded: LoadedAnnotations, splits: set[Split]) -> str:
    """Which file decides what is in which split, in a few words."""
    names = ", ".join(file.name for file in loaded.files)
    lists = list_files(loaded.files[0].parent) if loaded.format == "flickr8k" else {}
    if splits == {"train"}:
        return "no file: all are training photos, of which training sets some aside (data.val_fraction, ...)"
    if lists:
        return ", ".join(file.name for file in lists.values())
    if loaded.format == "folder" and not loaded.files:
        return "the folders train, val and test"
    if loaded.format == "karpathy":
        return f"the field split of {names}"
    named = any(split_in_name(file.stem) for file in loaded.files)
    if loaded.format == "coco" or (named and len(loaded.files) >= len(splits)):
        return f"the names of {names}"
    folders = dict.fromkeys(file.parent.name for file in loaded.files if split_in_name(file.parent.name))
    if folders and len(loaded.files) > 1:
        return f"the folders {', '.join(folders)}"
    return f"the field split of {', '.join(dict.fromkeys(file.name for file in loaded.files))}"


def _uncaptioned(folder: Path, present: list[CaptionedImage]) -> int:
    """How many photos of a folder are in no annotation."""
    known = {os.path.abspath(image.path) for image in present}  # noqa: PTH100 - links stay as they are
    try:
        return sum(os.path.abspath(name) not in known for name in find_images([str(folder)]))  # noqa: PTH100
    except UsageError:  # no photos at all
        return 0


def _unreadable(paths: list[Path]) -> dict[Path, str]:
    def reason(path: Path) -> str:
        try:
            decode_image(path, size_hint=64)
        except ImageError as error:
            return error.reason
        return ""

    with ThreadPoolExecutor(_THREADS) as pool:
        reasons = tqdm(
            pool.map(reason, paths), total=len(paths), desc="decoding", unit="img", disable=bars_hidden()
        )
        return {path: text for path, text in zip(paths, reasons, strict=True) if text}
