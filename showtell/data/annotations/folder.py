"""A plain folder of images: with a file of captions, or with `name.txt` beside each `name.jpg`."""

from __future__ import annotations

from pathlib import Path

from showtell.data.annotations import coco, csv_tables, flickr8k, jsonlines, karpathy, label_studio
from showtell.data.annotations.collector import Collector
from showtell.data.annotations.entries import EntryError
from showtell.data.annotations.image_folders import ImageFolders
from showtell.data.annotations.listing import files_in, folders_in
from showtell.data.annotations.names import look_alike
from showtell.data.annotations.reading import read_lines
from showtell.data.find_images import IMAGE_SUFFIXES
from showtell.data.records import Split
from showtell.errors import AnnotationError

_NO_CAPTIONS = ("readme", "license", "licence", "notice")
_DEPTH = 3  # levels of folders that are searched
_SPLITS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def pairs(root: Path) -> bool:
    """Whether the folder, or one within it, holds an image with a text file beside it."""
    return any(texts_beside(folder) for folder in (root, *folders_in(root, _DEPTH)))


def texts_beside(folder: Path) -> list[Path]:
    """The text files of a folder that have an image beside them."""
    if not files_in(folder, ".txt"):  # of many images, their names need not be compared
        return []
    return [text for _, texts in _pairs(folder)[0].values() for text in texts]


def read(root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the images of a folder and of those within it.

    A file of captions in it (`captions.csv`, .tsv, .txt, .jsonl, .json) is read by the reader of its kind.
    Else each image has a text file of the same name (`photo.txt` or `photo.jpg.txt`), one caption per line.
    Folders `train`, `val` and `test` in it are splits; all other images are `train`. Other folders within are
    read if one of their images has a text file.

    Raises:
        AnnotationError: it is no folder.
    """
    if not root.is_dir():
        raise AnnotationError(f"{root}: not a folder; name the folder that holds the images")
    for reader in (coco, karpathy, flickr8k, csv_tables, label_studio, jsonlines):
        if reader.files(root):
            reader.read(root, images, collector)
            return
    splits = [root / name for name in _SPLITS]
    others = [folder for folder in folders_in(root, _DEPTH) if folder not in splits and texts_beside(folder)]
    for folder in (root, *splits, *others):
        _read_pairs(root, folder.relative_to(root).as_posix(), collector)


def _pairs(folder: Path) -> tuple[dict[str, tuple[str, list[Path]]], list[Path]]:
    """The image files of a folder, each with its text files; and the text files without an image."""
    names = [file.name for file in files_in(folder, *IMAGE_SUFFIXES)]
    images: dict[str, tuple[str, list[Path]]] = {name: (look_alike(name), []) for name in names}
    by_text: dict[str, list[list[Path]]] = {}
    for alike, texts in images.values():
        by_text.setdefault(alike, []).append(texts)
        by_text.setdefault(alike.rpartition(".")[0], []).append(texts)
    alone = []
    for file in files_in(folder, ".txt"):
        stem = file.name[: -len(".txt")]
        owners = by_text.get(look_alike(stem)) or by_text.get(look_alike(f"{stem}.")[:-1], [])
        for texts in owners:
            texts.append(file)
        if not owners and stem.lower() not in _NO_CAPTIONS:
            alone.append(file)
    return images, alone


def _read_pairs(root: Path, inside: str, collector: Collector) -> None:
    """Collect the images of one folder and the captions beside them."""
    images, alone = _pairs(root / inside)
    prefix = f"{inside}/" if inside != "." else ""
    split = _SPLITS.get(inside.partition("/")[0], "train")
    folders = ImageFolders([root])
    for name, (_, texts) in images.items():
        with collector.entry(str(root / inside / name)):
            collector.add_image(prefix + name, prefix + name, split, folders)
        for text in texts:
            lines: list[tuple[str, str]] = []
            with collector.entry(str(text)):
                lines = _lines(text)
            for entry, caption in lines:
                with collector.entry(entry):
                    collector.add_caption(prefix + name, caption)
    for text in alone:
        with collector.entry(str(text)):
            raise EntryError("missing image file", f"no image named {text.stem!r} is beside it")


def _lines(file: Path) -> list[tuple[str, str]]:
    """The captions of one image; none in an empty file, so that the image is judged, not the dataset.

    Raises:
        EntryError: it cannot be read, or is no text.
    """
    try:
        is_empty = not file.read_bytes()
    except OSError as error:
        raise EntryError("unreadable file", error.strerror or str(error)) from error
    try:
        return [] if is_empty else list(read_lines(file))
    except AnnotationError as error:
        raise EntryError("not UTF-8 text", str(error).removeprefix(f"{file}: ")) from error
