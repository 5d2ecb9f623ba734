"""From an empty folder, or one with archives, to a dataset that can be read."""

from __future__ import annotations

import csv
import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

from tqdm import tqdm

from showtell.data.annotations.listing import files_in
from showtell.data.annotations.reading import read_json
from showtell.data.find_images import IMAGE_SUFFIXES
from showtell.data.known.catalog import MULTI30K_SPLITS, KnownDataset, Source
from showtell.data.known.download import download
from showtell.data.known.unpack import is_archive, unpack
from showtell.errors import DataError, DownloadError, UsageError
from showtell.utils.files import write_atomic
from showtell.utils.progress import bars_hidden

log = logging.getLogger(__name__)


def is_there(source: Source, folder: Path) -> bool:
    """Whether a dataset's folder has what a source gives."""
    path = folder / source.holds
    if source.count == 1:
        return path.is_file()
    return len(files_in(path, *IMAGE_SUFFIXES)) >= source.count


def get_dataset(
    dataset: KnownDataset, folder: Path, *, language: str = "de", keep_archives: bool = False
) -> None:
    """Download what a folder lacks of a dataset, and prepare it; the same call continues an interrupted one.

    Args:
        dataset: the dataset.
        folder: where it goes.
        language: of Multi30k's captions.
        keep_archives: keep an archive when it has been unpacked.

    Raises:
        DownloadError: a file cannot be downloaded.
        DataError: an archive is damaged.
        UsageError: there is no room.
    """
    for source in dataset.sources:
        if is_there(source, folder):
            log.info("%s: is there", source.holds)
            continue
        archive = folder / source.name
        had = archive.exists()
        if not had:
            download(source.url, archive, size=source.size, md5=source.md5)
        if source.is_archive:
            log.info("%s: %s files", source.name, f"{unpack(archive, folder, only=source.only):,}")
            if not had and not keep_archives:
                archive.unlink()
    if dataset.listed_photos:
        _get_listed_photos(folder, *dataset.listed_photos)
    _convert(dataset, folder, language)


def prepare_folder(dataset: KnownDataset | None, folder: Path, *, language: str = "de") -> int:
    """Unpack the archives of a folder that were put there, without a network; they are kept.

    Args:
        dataset: what it is, if that is known: of its archives only what is missing is unpacked.
        folder: the dataset's folder.
        language: of Multi30k's captions.

    Returns:
        How many archives were unpacked.

    Raises:
        DataError: an archive is damaged.
        UsageError: there is no such folder, or no room.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name the one that holds the archives")
    sources = {source.name: source for source in dataset.sources} if dataset else {}
    count = 0
    for archive in sorted(path for path in folder.iterdir() if path.is_file() and is_archive(path)):
        source = sources.get(archive.name)
        if source and is_there(source, folder):
            continue
        number = unpack(archive, folder, only=source.only if source else "")
        log.info("%s: %s files", archive.name, f"{number:,}")
        count += 1
    if dataset:
        _convert(dataset, folder, language)
    return count


def _convert(dataset: KnownDataset, folder: Path, language: str) -> None:
    if dataset.name == "multi30k":
        write_multi30k(folder, language)


def write_multi30k(folder: Path, language: str) -> Path:
    """Write `captions.csv` of Multi30k's lists of photos and captions, one caption per photo.

    Args:
        folder: with `train.txt`, `train.de.gz`, ...
        language: de, en, fr or cs.

    Raises:
        DataError: a file is missing, or its lines do not belong together.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "caption", "split"])
    for part, split in MULTI30K_SPLITS.items():
        names = _lines(folder / f"{part}.txt")
        captions = _lines(folder / f"{part}.{language}.gz")
        if len(names) != len(captions):
            raise DataError(
                f"{folder}: {len(names)} photos in {part}.txt, but {len(captions)} captions in"
                f" {part}.{language}.gz; download both again"
            )
        for name, caption in zip(names, captions, strict=True):
            writer.writerow([name.partition("#")[0], caption, split])
    return write_atomic(folder / "captions.csv", stream.getvalue())


def _lines(file: Path) -> list[str]:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return content.decode("utf-8").rstrip("\n").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); run showtell data get multi30k") from error


def _get_listed_photos(folder: Path, listing: str, field: str, inside: str) -> None:
    """Download the photos whose addresses a COCO file lists, each once."""
    failed = 0
    photos = list(_listed(folder / listing, field))
    for name, url in tqdm(photos, desc="photos", unit="img", disable=bars_hidden()):
        target = folder / inside / name
        if target.is_file():
            continue
        try:
            download(url, target)
        except (DownloadError, URLError) as error:
            failed += 1
            log.debug("%s", error)
            if failed == 20 and not any((folder / inside).glob("*")):
                raise
    if failed:
        log.warning("%d of %s photos cannot be downloaded; run it again later", failed, f"{len(photos):,}")


def _listed(file: Path, field: str) -> Iterator[tuple[str, str]]:
    content = read_json(file)
    records = content.get("images") if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise DataError(f"{file}: wrong fields: no list of images; delete the file and download it again")
    for record in records:
        if not isinstance(record, dict):
            continue
        name, url = record.get("file_name"), record.get(field)
        if isinstance(name, str) and isinstance(url, str) and Path(name).name == name:
            yield name, url
