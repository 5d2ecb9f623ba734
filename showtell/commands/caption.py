"""Caption photos: files, folders, globs, or - for names on standard input.

Without arguments, the sample photos of scikit-image are captioned. Each caption is printed as `name: caption`
as soon as it is ready. Photos that cannot be decoded are reported on standard error and skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import fields
from glob import has_magic
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonargparse import Namespace
from tqdm import tqdm

from showtell.commands.shared.options import (
    add_min_confidence,
    add_model_options,
    check_min_confidence,
    load_model,
    naming_options,
    require_confidence,
)
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.settings import add_plain_settings
from showtell.config import SearchConfig
from showtell.data.find_images import find_images
from showtell.errors import UsageError
from showtell.output import (
    AttentionImages,
    Distinct,
    GalleryWriter,
    Output,
    Photo,
    Record,
    Screen,
    Tally,
    make_writer,
)
from showtell.search.settings import search_config as search_config_of
from showtell.utils.files import path_exists, require_writable
from showtell.utils.keywords import did_you_mean_path
from showtell.utils.progress import PROGRESS_BAR_ABOVE, bars_hidden

if TYPE_CHECKING:  # it imports torch, which takes seconds: help and misuse are answered at once
    from showtell.captioning.base import CaptioningModel

SAMPLE_PHOTOS: Final = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
"""The photos of everyday things in scikit-image's package itself. (Others in it are textures, drawings, and
images of microscopes and telescopes; the rest is downloaded.)"""

STANDARD_OUTPUT: Final = "-"
"""Value of --output for JSON Lines on standard output."""
STANDARD_INPUT: Final = "-"
"""Stands among the photos for names on standard input."""
EXAMPLES: Final = (
    ("{prog} photo.jpg", "a caption of a photo"),
    ("{prog} photos/ --output captions.html", "of a folder, with a gallery"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell caption`."""
    parser.add_argument(
        "photos",
        nargs="*",
        type=str,
        default=[],
        metavar="PHOTO",
        help="file, folder, glob, or - for names on standard input",
    )
    add_model_options(parser)
    add_search(parser)
    group = parser.add_argument_group("output")
    add = group.add_argument
    add(
        "--output",
        metavar="FILE",
        help="write a .jsonl, .csv or .html (gallery) file too; -: JSON Lines on standard output instead",
    )
    add(
        "--attention",
        metavar="FOLDER",
        help="draw the attention map of each word: a PNG per photo, or FILE.png",
    )
    add_min_confidence(group, "mark as doubtful")


def add_search(parser: Parser) -> None:
    """Add the options of the search."""
    names = [field.name for field in fields(SearchConfig)]
    group = add_plain_settings(parser, SearchConfig, "search", names, title="search")
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=int | None,
        default=None,
        help="photos whose captions are searched together; by default 64, on a GPU more",
    )


def run(parser: Parser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Caption; returns 1 if no photo could be captioned, else 0."""
    config = search_config(args)
    if args.batch_size is not None and args.batch_size < 1:
        raise UsageError("--batch-size must be at least 1")
    if args.min_confidence is not None and args.sample:
        raise UsageError("--min-confidence has no effect with --sample: sampled captions have no confidence")
    check_min_confidence(args.min_confidence)
    piped = args.output == STANDARD_OUTPUT
    writer = make_writer(Path(args.output)) if args.output and not piped else None
    images = AttentionImages(Path(args.attention)) if args.attention else None
    photos = _photos(args.photos, images)
    for path in [output.path for output in [writer] if output] + [each.target for each in [images] if each]:
        require_writable(path, UsageError)  # before seconds of loading
    captioner = _load(args, has_attention=images is not None)
    files = [output for output in (writer, images) if output]
    tally = Tally(writer.path if writer else None)
    distinct = Distinct(args.num_captions if args.diversity else 1)
    screen = Screen(keep_going=bool(files), json_lines=piped)
    # Left from the last to the first: files are complete before the tally says so.
    outputs: list[Output] = [distinct, tally, *files, screen]
    gallery = isinstance(writer, GalleryWriter)
    previews = images is not None or gallery
    attention = images is not None or (gallery and captioner.has_attention)
    with ExitStack() as stack:
        for output in outputs:
            stack.enter_context(output)
        bar = stack.enter_context(_progress_bar(args.photos))
        records = _records(captioner, photos, config, args, images, previews=previews, attention=attention)
        for record in stack.enter_context(closing(records)):
            for output in outputs:
                output.add(record)
            bar.update()
    return 0 if tally.captioned else 1


def search_config(args: Namespace) -> SearchConfig:
    """The search of the arguments; the beam is at least as wide as the number of captions.

    Raises:
        UsageError: a value is out of range, or has no effect beside the others.
    """
    names = (field.name for field in fields(SearchConfig))
    with naming_options("search"):
        return search_config_of({name: args[name] for name in names if name in args})


def _photos(inputs: Sequence[str], images: AttentionImages | None) -> Iterator[Photo]:
    """The photos that are meant, taken lazily.

    Raises:
        UsageError: there are none, or several for a single image of attention.
    """
    if STANDARD_INPUT in inputs and hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # file names are bytes, and not always text
    photos = _named(inputs, images) if inputs else _sample_photos()
    first = list(islice(photos, 2 if images and images.single else 1))
    if not first:
        raise UsageError("no photos named on standard input; write their names to it, one per line")
    if images and len(first) > 1:
        raise UsageError(f"--attention {images.target}: this is one photo, for several photos name a folder")
    if images and images.single and _same(images.target, first[0].file):
        raise UsageError(f"--attention {images.target}: this is the photo; choose another name")
    return chain(first, photos)


def _named(inputs: Sequence[str], images: AttentionImages | None) -> Iterator[Photo]:
    names = find_images(inputs)  # at once: mistakes show before any work starts
    _require_one(inputs)
    return (Photo(name, name) for name in names if not (images and images.made(name)))


def _require_one(inputs: Sequence[str]) -> None:
    """Check that one of the inputs is there; of several, those that are not are skipped and counted.

    Raises:
        UsageError: none is there.
    """
    if any(name == STANDARD_INPUT or has_magic(name) or path_exists(Path(name)) for name in inputs):
        return
    first, more = Path(inputs[0]), f" and {len(inputs) - 1} more" if len(inputs) > 1 else ""
    beside = map(str, first.parent.glob("*")) if path_exists(first.parent) else ()
    raise UsageError(f"{first}{more}: no such file{did_you_mean_path(str(first), beside)}")


def _same(one: Path, other: Path | str) -> bool:
    return one.exists() and Path(other).exists() and one.samefile(other)


def _sample_photos() -> Iterator[Photo]:
    folder = Path(str(resources.files("skimage.data")))
    photos = [Photo(f"skimage/{name}", folder / name) for name in SAMPLE_PHOTOS if (folder / name).is_file()]
    if not photos:
        raise UsageError("name photos, folders or globs: this scikit-image comes without photographs")
    return iter(photos)


def _load(args: Namespace, *, has_attention: bool) -> CaptioningModel:
    captioner = load_model(args)
    if has_attention and not captioner.has_attention:
        raise UsageError(
            "--attention: this model's decoder (pooled) has no attention; choose another --model"
        )
    require_confidence(captioner, args.min_confidence)
    return captioner


def _progress_bar(inputs: Sequence[str]) -> tqdm[Any]:
    """A bar on standard error, if that is a terminal and the photos are many, or nobody knows how many."""
    if not inputs or bars_hidden():
        return tqdm(disable=True)
    total = None if STANDARD_INPUT in inputs else sum(1 for _ in find_images(inputs))
    return tqdm(
        total=total, desc="captions", unit="img", disable=total is not None and total <= PROGRESS_BAR_ABOVE
    )


def _records(
    captioner: CaptioningModel,
    photos: Iterator[Photo],
    config: SearchConfig,
    args: Namespace,
    images: AttentionImages | None,
    *,
    previews: bool,
    attention: bool,
) -> Generator[Record, None, None]:
    """Caption photos as they come; all names are read first, but those of standard input."""
    stream = captioner.caption_stream(
        photos if previews or STANDARD_INPUT in args.photos else list(photos),
        config,
        open_source=lambda photo: photo.open_with_preview(captioner.transform) if previews else photo.file,
        batch_size=args.batch_size,
        attention=attention,
    )
    for done in stream:
        reason, name = done.error.reason if done.error else None, done.source.name
        drawn = images.file_of(name) if images is not None and done.captions else None
        yield Record(name, done.captions, reason, done.source.preview, args.min_confidence, drawn)
