"""Load annotations: find the dataset, detect its format, read it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from showtell.config import DatasetFormat
from showtell.data.annotations import coco, csv_tables, flickr8k, folder, jsonlines, karpathy, label_studio
from showtell.data.annotations.collector import Collector, LoadedAnnotations
from showtell.data.annotations.listing import files_in
from showtell.data.annotations.near_misses import nearest
from showtell.data.annotations.plugin_readers import matching_plugin, read_by_plugin
from showtell.errors import AnnotationError, UsageError
from showtell.utils.files import path_exists

log = logging.getLogger(__name__)

SEARCH_VARIABLE = "SHOWTELL_DATA"
_DOWNLOADED = Path("data")  # where `showtell data get` puts datasets
_SHARED = Path("../shared/data")  # those that several checkouts share


@dataclass(frozen=True)
class _Reader:
    files: Callable[[Path], list[Path]]
    matches_file: Callable[[Path], bool]
    read: Callable[[Path, Path | None, Collector], None]

    def matches(self, root: Path) -> bool:
        return bool(self.files(root)) if root.is_dir() else self.matches_file(root)


_READERS: dict[DatasetFormat, _Reader] = {  # in the order that `auto` asks them
    "coco": _Reader(coco.files, coco.matches_file, coco.read),
    "karpathy": _Reader(karpathy.files, karpathy.matches_file, karpathy.read),
    "flickr8k": _Reader(flickr8k.files, flickr8k.matches_file, flickr8k.read),
    "csv": _Reader(csv_tables.files, csv_tables.matches_file, csv_tables.read),
    "label-studio": _Reader(label_studio.files, label_studio.matches_file, label_studio.read),
    "jsonl": _Reader(jsonlines.files, jsonlines.matches_file, jsonlines.read),
    "folder": _Reader(lambda root: [root] if folder.pairs(root) else [], lambda _: False, folder.read),
}


def load_annotations(
    root: str | Path,
    *,
    format: DatasetFormat = "auto",  # noqa: A002 (its name in the configuration)
    images: str | Path | None = None,
    skip_bad: bool = False,
    need_files: bool = True,
) -> LoadedAnnotations:
    """Read a captioned dataset.

    Images that no file puts in a split are `train`. Only the names of image files are checked, by listing
    their folders; no image is opened.

    Args:
        root: the dataset's folder, or its annotation file.
        format: the format of the annotations; `auto` detects it from the files: COCO's, else Karpathy's, else
            Flickr8k's, else a table, else Label Studio's, else JSON Lines, else text files beside the images,
            else plug-ins.
        images: folder of the images, if it is not beside the annotations.
        skip_bad: drop and count entries that cannot be used, instead of stopping at the first.
        need_files: refuse images whose files are not there. Captions can be scored without.

    Raises:
        UsageError: the root or the folder of the images is not there.
        AnnotationError: the format is not recognised, or a file or entry cannot be used: an image without its
            file or without captions, a caption without its image or without a word, an id that comes twice,
            fields that are wrong, text that is not UTF-8, JSON that is broken.
    """
    root, images = Path(root), None if images is None else Path(images)
    if not path_exists(root):
        raise UsageError(f"{root}: no such file or folder; correct the path")
    if images is not None and not (path_exists(images) and images.is_dir()):
        raise UsageError(f"{images}: no such folder; correct --data.images")
    detected = _detect(root) if format == "auto" else format
    if detected == "scenes":
        raise UsageError(
            f"format {detected!r} is generated, not read from {root}; leave out --data.root or name another"
        )
    collector = Collector(skip_bad=skip_bad, need_files=need_files)
    if detected in _READERS:
        _READERS[detected].read(root, images, collector)
    else:
        read_by_plugin(detected, root, images, collector)
    loaded = collector.finish(root, detected)
    if loaded.repeated:
        log.warning("%s: rows dropped that repeat an earlier one: %s", root, f"{loaded.repeated:,}")
    if format != "auto" or not root.is_dir():
        return loaded
    return replace(loaded, alternatives=tuple(_alternatives(root, set(loaded.files))))


def find_dataset_root(root: str | Path, search: Sequence[Path] | None = None) -> Path:
    """Where a dataset is.

    Args:
        root: its folder or annotation file. One that exists is taken as it is; a relative one is then looked
            for in the search folders.
        search: the folders to look in; None for those of the environment variable SHOWTELL_DATA (separated
            as in PATH), `data`, and `../shared/data` if it exists.

    Raises:
        UsageError: it is nowhere.
    """
    path = _expanded(root)
    if path_exists(path):
        return path
    folders = [] if path.is_absolute() else _search_folders() if search is None else search
    for place in folders:
        if path_exists(place / path):
            return place / path
    looked = ", ".join(str(place / path) for place in [Path(), *folders])
    get = "download a public dataset (showtell data get NAME)"
    fix = f"name the folder of your data (--data FOLDER), {get}, or set {SEARCH_VARIABLE} to where it lies"
    raise UsageError(f"no dataset {str(root)!r} (looked for {looked}); {fix}")


def _search_folders() -> Sequence[Path]:
    named = os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep)
    shared = [_SHARED] if _SHARED.is_dir() else []
    return [*(_expanded(part) for part in named if part), _DOWNLOADED, *shared]


def _expanded(name: str | Path) -> Path:
    """A path with `~` as the home folder; as it is if there is no such user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _detect(root: Path) -> DatasetFormat:
    for name, reader in _READERS.items():
        if reader.matches(root):
            return name
    if (plugin := matching_plugin(root)) is not None:
        return plugin
    raise AnnotationError(f"{root}: no captions of a known format in it; {nearest(root, list(_READERS))}")


def _alternatives(root: Path, read: Collection[Path]) -> Iterator[Path]:
    """Files in the folder that were not read, with names of annotation files or of images beside them."""
    names = re.compile(
        r"(captions|metadata)(_[a-z]+\d*)?\.\w+|dataset_\w+\.json|flickr8k\.token\.txt|results\.csv"
    )
    for folder_ in (root / "annotations", root):
        for file in files_in(folder_, ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt"):
            if names.fullmatch(file.name.lower()) and file not in read:
                yield file
    if read:
        yield from (file for file in folder.texts_beside(root) if file not in read)
