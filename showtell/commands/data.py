"""List, check, download, prepare and export caption datasets.

`list` prints the known datasets; `check` what a folder contains, what is missing, and which file defines the
splits; `get` downloads a dataset, or continues an interrupted download; `prepare` unpacks archives that were
downloaded by hand; `export` writes the JSON of COCO or Label Studio.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from jsonargparse import Namespace

from showtell.commands.shared.options import add_general
from showtell.commands.shared.parser import ArgumentGroup, Parser
from showtell.config.data import DATASET_FORMATS
from showtell.config.plugins import plugin_names
from showtell.data.annotations import find_dataset_root, load_annotations
from showtell.data.annotations.entries import first_of_each
from showtell.data.annotations.write import LABELING_CONFIG, write_coco, write_label_studio
from showtell.data.known.catalog import DATASETS, LANGUAGES, KnownDataset, find_dataset
from showtell.data.known.check import DatasetCheck, check_dataset
from showtell.data.known.prepare import get_dataset, is_there, prepare_folder
from showtell.data.known.unpack import is_archive
from showtell.data.splits import by_split
from showtell.errors import AnnotationError, DataError, UsageError, message_line, one_line
from showtell.utils.tables import text_table

log = logging.getLogger(__name__)

EXAMPLES: Final = (
    ("{prog} list", "the datasets that are known"),
    ("{prog} check data/coco", "what is there, and what is missing"),
)
_LIST: Final = (
    ("{prog}", "all datasets"),
    ("{prog} coco flickr8k", "addresses, sizes, licences and layouts of two"),
)
_CHECK: Final = (
    ("{prog} data/coco", "photos, captions, splits, and what is missing"),
    ("{prog} photos/captions.csv --decode", "and whether each photo can be decoded"),
)
_GET: Final = (
    ("{prog} flickr8k", "into data/flickr8k"),
    ("{prog} coco --root /disk/coco --keep-archives", "elsewhere; run it again to continue"),
)
_PREPARE: Final = (
    ("{prog} data/coco", "unpack the archives that were put there"),
    ("{prog} data/multi30k --dataset multi30k --language fr", "write captions.csv of the French captions"),
)
_EXPORT: Final = (
    ("{prog} photos/ --format coco --out coco/", "coco/annotations/captions_train.json, ..."),
    ("{prog} photos/ --format label-studio --out tasks.json", "tasks that Label Studio imports"),
)
_MAX_NAMED_FILES: Final = 3
"""Files that are named of those that are missing."""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell data`."""
    commands = parser.add_subcommands(required=False, metavar="list|check|get|prepare|export")
    listing = Parser(description="Show the datasets that are known.", examples=_LIST)
    listing.add_argument("names", nargs="*", type=str, default=[], metavar="NAME", help="show all of these")
    check = Parser(description="Check what a folder has of what its annotations name.", examples=_CHECK)
    check.add_argument("root", metavar="FOLDER", help="folder, annotation file, or name of a known dataset")
    _add_format(check)
    check.add_argument("--decode", action="store_true", help="decode each photo too, to find damaged ones")
    get = Parser(description="Download and unpack a dataset; run it again to continue.", examples=_GET)
    get.add_argument("name", metavar="NAME", help="name of a dataset in showtell data list")
    get.add_argument("--root", metavar="FOLDER", help="where it goes; default: its place in data/")
    get.add_argument("--keep-archives", action="store_true", help="keep an archive when it has been unpacked")
    _add_language(get)
    prepare = Parser(description="Unpack archives that were downloaded by hand, offline.", examples=_PREPARE)
    prepare.add_argument("root", metavar="FOLDER", help="the folder with the archives")
    prepare.add_argument(
        "--dataset", metavar="NAME", help="which dataset it is; default: by the folder's name"
    )
    _add_language(prepare)
    export = Parser(description="Write a dataset as COCO's or Label Studio's JSON.", examples=_EXPORT)
    _add_export(export)
    parts = {"list": listing, "check": check, "get": get, "prepare": prepare, "export": export}
    for name, part in parts.items():
        commands.add_subcommand(name, part, help=part.description)
        part.prog = f"{parser.prog} {name}"
        add_general(part)


def _add_format(parser: ArgumentGroup) -> None:
    parser.add_argument(
        "--data.format",
        metavar="NAME",
        type=Literal[(*_READ, *plugin_names("readers"))],
        default="auto",
        help="format of the annotations",
    )
    parser.add_argument(
        "--data.images",
        metavar="FOLDER",
        type=str | None,
        default=None,
        help="where the photos are, if elsewhere",
    )


def _add_language(parser: ArgumentGroup) -> None:
    parser.add_argument(
        "--language",
        metavar="|".join(LANGUAGES),
        choices=LANGUAGES,
        default="de",
        help="of Multi30k's captions, for captions.csv",
    )


def _add_export(parser: Parser) -> None:
    parser.add_argument("root", metavar="FOLDER", help="the dataset: its folder, or its annotation file")
    parser.add_argument(
        "--format",
        metavar="coco|label-studio",
        choices=("coco", "label-studio"),
        required=True,
        help="what to write",
    )
    parser.add_argument(
        "--out", metavar="PATH", required=True, help="COCO: a folder; Label Studio: a .json file"
    )
    _add_format(parser)
    parser.add_argument(
        "--home", metavar="FOLDER", help="names of photos are relative to it; default: the dataset"
    )
    parser.add_argument(
        "--split", metavar="|".join(_SPLITS), choices=_SPLITS, default="all", help="which photos"
    )
    parser.add_argument(
        "--predictions",
        action="store_true",
        help="Label Studio: write predictions, to be corrected",
    )
    parser.add_argument("--skip-bad", action="store_true", help="drop and count entries that cannot be used")


_SPLITS: Final = ("all", "train", "val", "test")
_FORMATS: Final = ("coco", "label-studio")
_READ: Final = tuple(name for name in DATASET_FORMATS if name != "scenes")


def run(parser: Parser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Run one of its commands; `list` if none is named."""
    name = args.get("subcommand")
    if name in (None, "list"):
        return _list(args[name].names if name else [])
    return {"check": _check, "get": _get, "prepare": _prepare, "export": _export}[name](args[name])


def _list(names: Sequence[str]) -> int:
    if names:
        print("\n\n".join(_described(find_dataset(name)) for name in names))
        return 0
    rows = []
    width = max(len(dataset.data_root) for dataset in DATASETS)
    for dataset in DATASETS:
        images = sum(images for images, _ in dataset.photos.values())
        captions = sum(captions for _, captions in dataset.photos.values())
        there = "there" if Path(dataset.data_root).exists() else ""
        rows.append(
            [
                dataset.name,
                f"{images:,}",
                f"{captions:,}",
                dataset.size,
                dataset.data_root.ljust(width),
                there,
            ]
        )
    print(text_table(["name", "photos", "captions", "download", "expected at".ljust(width), ""], rows))
    print("\nshowtell data list NAME: addresses, licence, layout; showtell data get NAME: download")
    return 0


def _described(dataset: KnownDataset) -> str:
    photos = ", ".join(
        f"{split} {images:,} ({captions:,} captions)" for split, (images, captions) in dataset.photos.items()
    )
    lines = [
        f"{dataset.name}: {dataset.title}",
        f"  photos    {photos}",
        f"  licence   {dataset.licence}",
        f"  page      {dataset.home}",
        f"  expected  {dataset.folder}/ with {', '.join(source.holds for source in dataset.sources)}",
        f"  use it    python main.py --data.root {dataset.data_root}",
        f"  get it    showtell data get {dataset.name}  ({dataset.size})",
        *(f"            {source.url}{_bytes(source.size)}" for source in dataset.sources),
    ]
    if dataset.listed_photos:
        lines.append(f"            and each photo by the addresses in {dataset.listed_photos[0]}")
    if dataset.by_hand:
        lines.append(f"  note      {dataset.by_hand}")
    return "\n".join(lines)


def _bytes(size: int) -> str:
    return f"  {size:,} bytes" if size else ""


def _check(args: Namespace) -> int:
    """Report; returns 1 if something is missing or unusable."""
    known = next((each for each in DATASETS if each.name == args.root), None)
    if known and not Path(args.root).exists():
        root = Path(known.data_root)
        if not root.exists():
            print(f"{known.folder}: not there yet\n{_described(known)}")
            return 1
    else:
        root = find_dataset_root(args.root)
    images = args.get("data.images")
    try:
        done = check_dataset(
            root, format=args["data.format"], images=Path(images) if images else None, decode=args.decode
        )
    except AnnotationError as error:
        archives = _archives(root)
        if archives:
            raise AnnotationError(
                f"{root}: not unpacked: {', '.join(archives)}; run showtell data prepare {root}"
            ) from error
        raise
    print("\n".join(_report(done)) + (f" --data.images {images}" if images else ""))
    return 0 if done.complete else 1


def _archives(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if is_archive(path)) if root.is_dir() else []


def _report(done: DatasetCheck) -> list[str]:
    home = done.root if done.root.is_dir() else done.root.parent
    files = [file.relative_to(home).as_posix() for file in done.loaded.files]
    source = _few(files, 4) if files else "a text file beside each photo"
    lines = [f"{done.root}: {_title(done)}format {done.loaded.format}, {source}"]
    for split, part in done.splits.items():
        lines.append(
            f"  {split:<6}{part.present:>9,} of {part.images:,} photos here, {part.captions:,} captions"
        )
    lines.append(f"  {'all':<6}{done.present:>9,} of {max(done.images, _official(done)):,} photos here")
    lines.append(f"splits decided by {done.decided_by}")
    if absent := [split for split in (done.known.photos if done.known else ()) if split not in done.splits]:
        lines.append(f"not in these annotations: the official split {', '.join(absent)}")
    if done.missing:
        names = [_inside(path, home) for path in done.missing]
        get = f"; get them: showtell data get {done.known.name} --root {home}" if done.known else ""
        lines.append(f"missing: {_few(names)}{get}")
    for path, reason in list(done.unreadable.items())[:_MAX_NAMED_FILES]:
        lines.append(f"cannot be decoded: {_inside(path, home)}: {reason}")
    if len(done.unreadable) > _MAX_NAMED_FILES:
        lines.append(f"cannot be decoded: {len(done.unreadable) - _MAX_NAMED_FILES:,} more")
    for first, count in first_of_each(done.loaded.skipped):
        what = message_line(f"{first.reason}, first {first.entry}{first.cure}")
        lines.append(f"unusable: {count:,} x {what}; --skip-bad drops them")
    if done.archives:
        lines.append(f"not unpacked: {_few(done.archives)}; run showtell data prepare {home}")
    if done.loaded.alternatives:
        lines.append(f"not read: {_few([_inside(path, home) for path in done.loaded.alternatives])}")
    if done.uncaptioned:
        lines.append(f"without captions: {done.uncaptioned:,} photos that no annotation names")
    lines.append(f"{_verdict(done)}: python main.py --data.root {done.root}")
    return lines


def _title(done: DatasetCheck) -> str:
    """What it is, and whether it has as many photos as the official one."""
    if done.known is None:
        return ""
    part = "a part of " if done.images < _official(done) else ""
    return f"{part}{done.known.title}, "


def _official(done: DatasetCheck) -> int:
    """Photos of the official dataset; 0 of one's own."""
    return sum(images for images, _ in done.known.photos.values()) if done.known else 0


def _verdict(done: DatasetCheck) -> str:
    if done.complete:
        return "complete, train on it"
    return "train on what is there with --skip-bad" if done.present else "nothing to train on yet"


def _inside(path: Path, home: Path) -> str:
    return one_line(path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path))


def _few(names: Sequence[str], most: int = _MAX_NAMED_FILES) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _get(args: Namespace) -> int:
    dataset = find_dataset(args.name)
    folder = Path(args.root or dataset.folder)
    log.info("%s -> %s (%s); licence: %s", dataset.title, folder, dataset.size, dataset.licence)
    get_dataset(dataset, folder, language=args.language, keep_archives=args.keep_archives)
    if dataset.by_hand:
        log.info("%s: %s", dataset.name, dataset.by_hand)
    return _check_after(dataset, folder)


def _prepare(args: Namespace) -> int:
    folder = Path(args.root)
    dataset = find_dataset(args.dataset) if args.dataset else _by_folder(folder)
    count = prepare_folder(dataset, folder, language=args.language)
    log.info("%s: %d archive%s unpacked", folder, count, "s" * (count != 1))
    return _check_after(dataset, folder)


def _by_folder(folder: Path) -> KnownDataset | None:
    """The dataset that a folder is expected to be, by its name or by the archives in it."""
    name = folder.resolve().name.lower()
    archives = set(_archives(folder))
    for dataset in DATASETS:
        if dataset.name == name or archives & {source.name for source in dataset.sources if source.size}:
            return dataset
    return None


def _check_after(dataset: KnownDataset | None, folder: Path) -> int:
    """Check what was got; a dataset whose file is named apart is checked by that file."""
    root = folder / Path(dataset.root).name if dataset and dataset.root else folder
    lacking = [source.name for source in dataset.sources if not is_there(source, folder)] if dataset else []
    if lacking:
        log.warning("%s: still lacking %s", folder, _few(lacking))
    try:
        done = check_dataset(root)
    except (AnnotationError, UsageError) as error:
        raise DataError(f"{error}; showtell data list has the layout that is expected") from error
    print("\n".join(_report(done)))
    return 0 if done.complete else 1


def _export(args: Namespace) -> int:
    root = find_dataset_root(args.root)
    images = Path(args["data.images"]) if args["data.images"] else None
    loaded = load_annotations(root, format=args["data.format"], images=images, skip_bad=args.skip_bad)
    chosen = loaded.images if args.split == "all" else by_split(loaded.images, args.split)
    if not chosen:
        raise UsageError(f"--split {args.split}: {root} has no such photos")
    home = Path(args.home) if args.home else images or (root if root.is_dir() else root.parent)
    for reason, count in loaded.skipped_by_reason.items():
        log.warning("dropped %d x %s", count, reason)
    out = Path(args.out)
    captions = sum(len(image.captions) for image in chosen)
    if args.format == "coco":
        if args.predictions:
            raise UsageError("--predictions is for --format label-studio")
        files = write_coco(chosen, out, home)
        elsewhere = "" if out.resolve() == home.resolve() else f" --data.images {home}"
        log.info("read them: --data.root %s%s", out, elsewhere)
    else:
        if out.suffix.lower() != ".json":
            raise UsageError(f"--out {out}: name a .json file for the tasks")
        files = [write_label_studio(chosen, out, home, predictions=args.predictions)]
        log.info(
            "set LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=%s,"
            " and take this labeling configuration:\n%s",
            home.resolve(),
            LABELING_CONFIG,
        )
    print(f"{', '.join(map(str, files))}: {len(chosen):,} photos, {captions:,} captions")
    return 0
