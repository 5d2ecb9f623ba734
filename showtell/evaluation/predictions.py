"""Captions that a model has made, from a file: COCO's results, JSON Lines or a table."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showtell.data.annotations.csv_tables import Row, rows
from showtell.data.annotations.entries import EMPTY_CAPTION, Entries, EntryError, Skipped, caption_text
from showtell.data.annotations.fields import field, id_field
from showtell.data.annotations.jsonlines import LINES
from showtell.data.annotations.names import look_alike, number_alike
from showtell.data.annotations.reading import first_line, parse_json_line, read_json, read_lines
from showtell.data.records import CaptionedImage
from showtell.errors import AnnotationError, UsageError

TABLES = (".csv", ".tsv")
SUFFIXES = (".json", *LINES, *TABLES)
"""Endings of files of predictions."""


@dataclass(frozen=True)
class Predictions:
    """A model's captions of images.

    Attributes:
        captions: image id -> its captions, best first, in the order of the references.
        skipped: the entries that were dropped, and a nameless one for each image without a caption. An empty
            caption is among them, and its image has the caption "", which scores 0.
    """

    captions: dict[str, tuple[str, ...]]
    skipped: list[Skipped]

    @property
    def skipped_by_reason(self) -> Counter[str]:
        """How many entries were dropped, by reason."""
        return Counter(item.reason for item in self.skipped)


@dataclass(frozen=True)
class _Entry:
    """An entry of a file of predictions: an image and its captions by rank."""

    image: str
    captions: list[tuple[str, object]]


def require_predictions(file: Path) -> None:
    """Check that a file of predictions is there.

    Raises:
        UsageError: there is no such file, or its ending is none of `SUFFIXES`.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file of predictions; correct its name")
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{file}: predictions are read from {', '.join(SUFFIXES)} files; name one")


def read_predictions(
    file: Path,
    images: Sequence[CaptionedImage],
    *,
    skip_bad: bool = False,
    others: Sequence[CaptionedImage] = (),
) -> Predictions:
    """Read predictions, in one of three formats.

    `.json`: COCO's results, a list of `{"image_id": ..., "caption": ...}`. `.jsonl`: one such object per
    line, as `inference.py --output` writes them; `captions` may hold further captions. `.csv`: columns
    `image` (or `image_id`) and `caption`, and `rank` if an image has several. An image is named by its id,
    its path, or its file's name.

    Args:
        file: the file.
        images: those to be captioned, each once.
        skip_bad: drop and count entries that cannot be used, and images without a caption. An empty caption
            counts as wrong: a model is not rewarded for silence.
        others: further images of the dataset, so that an error can name the split of an image.

    Raises:
        UsageError: there is no such file, or it is none of these forms.
        AnnotationError: an entry cannot be used: it is named, with the reason (an image that is not among
            `images` or comes twice, a caption without a word or that is no UTF-8 text, wrong fields, broken
            JSON, a photo that could not be captioned); or an image has no caption.
    """
    require_predictions(file)
    entries = Entries(skip_bad=skip_bad)
    names = _Names(images, others)
    captions: dict[str, list[tuple[float, str]]] = {}
    for name, content in _contents(file):
        with entries.entry(name):
            entry = _parse(content)
            image = names.find(entry.image)
            for rank, caption in entry.captions:
                position = _number(rank)
                entries.claim(file, "image", image, *([f"rank {rank}"] if rank != "1" else []))
                try:
                    text = caption_text(caption)
                except EntryError as error:
                    if error.reason != "empty caption" or not skip_bad:
                        raise
                    text = ""
                    entries.skipped.append(Skipped(name, EMPTY_CAPTION))
                captions.setdefault(image, []).append((position, text))
    missing = [image.image_id for image in images if image.image_id not in captions]
    for image_id in missing:
        with entries.entry(str(file)):
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise EntryError("no caption of an image", f"image {image_id!r}{more}")
    ordered = {
        i.image_id: tuple(text for _, text in sorted(captions[i.image_id], key=lambda pair: pair[0]))
        for i in images
        if i.image_id in captions
    }
    if not ordered:
        raise AnnotationError(f"{file}: no caption of these images in it; name another file or --data")
    return Predictions(ordered, entries.skipped)


class _Names:
    """Tells which image is meant by an id, a path, or a file's name.

    Args:
        images: those to be captioned.
        others: further images of the dataset; a name that is nearer to one of these means that one.
    """

    def __init__(self, images: Sequence[CaptionedImage], others: Sequence[CaptionedImage] = ()) -> None:
        self._ours = {image.image_id for image in images}
        self._splits: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._files: dict[str, list[CaptionedImage]] = {}
        self._alike: dict[str, set[str]] = {}
        for image in (*others, *images):
            self._splits[image.image_id] = image.split
            self._paths[str(image.path)] = image.image_id
            file = look_alike(image.path.name)
            self._files.setdefault(file, []).append(image)
            for alike in (number_alike(image.image_id), file.rpartition(".")[0]):
                self._alike.setdefault(alike, set()).add(image.image_id)

    def find(self, name: str) -> str:
        """The id of the image.

        Raises:
            EntryError: there is none of this name, or there are several.
        """
        found = self._candidates(name)
        ours = [image_id for image_id in found if image_id in self._ours]
        if len(ours) > 1:
            raise EntryError("wrong fields", f"several images are named {name!r}: name them by their ids")
        if not ours:
            where = ""
            if found:
                split = self._splits[found[0]]
                where = f" (it is in the split {split!r}: measure that with --split {split}"
                where += ", or all with --split all)"
            raise EntryError("caption of an unknown image", repr(name) + where)
        return ours[0]

    def _candidates(self, name: str) -> list[str]:
        """The ids of the images that may be meant."""
        if name in self._splits:
            return [name]
        if name in self._paths:
            return [self._paths[name]]
        path = name.replace("\\", "/")
        file = look_alike(path.rpartition("/")[2])
        if named := self._files.get(file):
            endings = [_common_ending(path, image.path.as_posix()) for image in named]
            return [i.image_id for i, length in zip(named, endings, strict=True) if length == max(endings)]
        return sorted(self._alike.get(number_alike(name)) or self._alike.get(file, set()))


def _common_ending(path: str, other: str) -> int:
    """How many last parts, without the file's name, two paths have in common."""
    pairs = zip(path.split("/")[-2::-1], other.split("/")[-2::-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _contents(file: Path) -> Iterator[tuple[str, Any]]:
    """Entry name and content of each entry; a line of JSON is parsed where the entry is."""
    suffix = file.suffix.lower()
    if suffix in LINES:
        yield from read_lines(file)
    elif suffix in TABLES:
        by_id = "image_id" in first_line(file).lower()
        yield from rows(file, "image_id" if by_id else "")
    else:
        content = read_json(file)
        if not isinstance(content, list):
            expected = 'a list of {"image_id": ..., "caption": ...}'
            raise AnnotationError(f"{file}: wrong fields: it is not {expected}; check its format")
        for number, item in enumerate(content):
            yield f"{file}: [{number}]", item


def _parse(content: Any) -> _Entry:
    """Parse an entry of any supported form.

    Raises:
        EntryError: it is broken.
    """
    record = content
    if isinstance(content, str):
        record = parse_json_line(content)
    elif isinstance(content, Row):
        record = content.record()
    by_id = isinstance(record, dict) and "image_id" in record
    image = id_field(record, "image_id" if by_id else "image").strip()
    if record.get("error"):
        raise EntryError("photo that could not be captioned", f"{image!r} ({record['error']})")
    captions = [(str(record.get("rank") or 1), field(record, "caption"))]
    listed = record.get("captions", [])
    if not isinstance(listed, list):
        raise EntryError("wrong fields", "'captions' is not a list")
    texts = [field(each, "caption") if isinstance(each, dict) else each for each in listed]
    others = texts[1:] if texts[:1] == [captions[0][1]] else texts  # all of them, or those after the best
    captions += [(str(rank), text) for rank, text in enumerate(others, start=2)]
    return _Entry(image, captions)


def _number(rank: str) -> float:
    try:
        return float(rank)
    except ValueError:
        raise EntryError("wrong fields", f"'rank' is not a number but {rank!r}") from None
