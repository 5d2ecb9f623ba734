"""Propose alt text for images that have none: in HTML and Markdown, or in the metadata of image files.

Name pages, images, or folders. Proposals are printed; --output writes them with the photos, --patch as a
patch for pages, --write into the files, whose old content is kept. Nothing is changed without --write.
Doubtful proposals are printed, but are neither in the patch nor written. --review shows each of them with
its image, to accept, correct or skip; --texts takes what was saved there, or any table image,caption.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import Namespace
from tqdm import tqdm

from showtell.alt.backup import Backup, undo
from showtell.alt.changes import Changes
from showtell.alt.patch import Patch
from showtell.alt.survey import Missing, Survey, survey
from showtell.alt.texts import read_texts, text_name
from showtell.captioning.caption import as_sentence
from showtell.commands.shared.options import (
    add_min_confidence,
    add_model_options,
    check_min_confidence,
    load_model,
    require_confidence,
)
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.service import serve_model, serving_extra
from showtell.config import ServingConfig
from showtell.errors import ShowtellError, UsageError, one_line
from showtell.output import FileWriter, GalleryWriter, Output, Photo, Record, Screen, Tally, make_writer
from showtell.utils.files import write_atomic
from showtell.utils.progress import PROGRESS_BAR_ABOVE, bars_hidden

if TYPE_CHECKING:  # it imports torch, which takes seconds: misuse and checks are answered at once
    from showtell.captioning.base import CaptioningModel

log = logging.getLogger(__name__)

BACKUPS: Final = ".showtell-backup"
KINDS: Final = ("auto", "pages", "photos")


EXAMPLES: Final = (
    ("{prog} site/", "what its pages lack, with proposals"),
    ("{prog} site/ --patch alt.patch", "as a patch, for git apply"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell alt`."""
    parser.add_argument(
        "paths", nargs="*", type=str, default=[], metavar="PATH", help="page, photo, or folder of these"
    )
    add = parser.add_argument_group("search").add_argument
    add(
        "--only",
        metavar="|".join(KINDS),
        choices=KINDS,
        default="auto",
        help="what to survey in folders; auto takes pages if there are any, else photos",
    )
    add(
        "--root", metavar="FOLDER", help="where addresses like /images/a.jpg begin; default: the named folder"
    )
    add("--check", action="store_true", help="only list what has no alt text; exit code 1 if there is any")
    add_model_options(parser)
    group = parser.add_argument_group("output")
    add_min_confidence(group, "mark as doubtful, and leave out of --patch and --write,")
    add = group.add_argument
    add("--output", metavar="FILE", help="write the proposals to a .html (with photos), .csv or .jsonl file")
    add("--patch", metavar="FILE", help="write a patch of the pages, for git apply; - for standard output")
    add("--write", action="store_true", help="write the proposals into pages and photos")
    add("--texts", metavar="FILE.csv", help="take the texts of this table (image,caption), not a model's")
    add("--backup", metavar="FOLDER", help=f"new folder for old content; default: {BACKUPS}/TIME")
    add("--undo", metavar="FOLDER", help="restore what was changed, from its backup")
    add = parser.add_argument_group("review").add_argument
    add(
        "--review",
        metavar="FILE.csv",
        help="review the proposals in a page; the texts are saved to this file",
    )
    add("--port", metavar="N", type=int, default=8000, help="port of that page, on this machine")


def run(parser: Parser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Propose; returns 1 if no proposal could be made, or a check failed."""
    _validate(args)
    if args.undo:
        return _undo(Path(args.undo))
    try:
        result = survey(args.paths, kind=args.only, root=Path(args.root) if args.root else None)
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs {error.name}: install it with pip install 'showtell[alt]'") from error
    for name, reason in result.left_alone.items():
        log.warning("left alone %s: %s", one_line(name), reason)
    if args.patch and any(missing.page is None for missing in result.missing):
        raise UsageError("--patch is for pages; for the metadata of photos use --write")
    for name, reason in result.skipped.items():
        log.warning("skipped %s: %s", one_line(name.rstrip()), reason)
    if args.check:
        return _check(result)
    if result.missing and args.review:
        return _review(result, args)
    if result.missing and args.texts:
        return _with_backup(args, lambda backup: _apply(result, args, backup))
    if result.missing:
        return _propose(result, args)
    log.info("nothing to propose: %s", _searched(result))
    return 0


def _validate(args: Namespace) -> None:
    if bool(args.paths) == bool(args.undo):
        raise UsageError("name pages, photos or folders; or a backup with --undo")
    check_min_confidence(args.min_confidence)
    if args.backup and not args.write:
        raise UsageError("--backup has no effect without --write")
    if args.check and (args.write or args.patch or args.output):
        raise UsageError("--check only lists; leave out --write, --patch and --output")
    if args.review and (args.check or args.write or args.patch or args.output or args.texts):
        raise UsageError(
            "--review only saves texts: leave out --check, --write, --patch, --output and --texts, and give"
            " the file to --texts afterwards"
        )
    if args.texts and (args.check or args.output):
        raise UsageError("--texts takes the texts of a file: leave out --check and --output")


def _undo(folder: Path) -> int:
    """Restore; returns 1 if a file was left alone."""
    files = left = 0
    for file, what, reason in undo(folder):
        print(one_line(f"{file}: {what}{f' ({reason})' if reason else ''}"))
        files += 1
        left += what not in ("restored", "as before")
    if not files:
        log.info("%s: nothing was changed", folder)
    if left:
        log.warning("not restored: %d; their old content is in %s, and --undo can be run again", left, folder)
    return 1 if left else 0


def _check(result: Survey) -> int:
    for missing in result.missing:
        print(missing.name)
    log.info("%d without alt text: %s", len(result.missing) + len(result.skipped), _searched(result))
    return 1 if result.missing or result.skipped else 0


def _searched(result: Survey) -> str:
    parts = [f"{result.pages} pages"] if result.pages else []
    photos = result.described + sum(missing.page is None for missing in result.missing)
    parts += [f"{photos} photos, of which {result.described} have a description"] if photos else []
    return f"looked at {' and '.join(parts) or 'nothing that could be read'}"


def _propose(result: Survey, args: Namespace) -> int:
    writer = make_writer(Path(args.output)) if args.output else None
    return _with_backup(args, lambda backup: _propose_all(result, args, writer, backup))


def _with_backup(args: Namespace, act: Callable[[Backup | None], int]) -> int:
    """Run something with a backup for the files that it changes, if --write asks for changes."""
    if not args.write:
        return act(None)
    backup = Backup(Path(args.backup)) if args.backup else Backup.named_by_time(Path(BACKUPS))
    try:
        return act(backup)
    finally:
        backup.close()


def _review(result: Survey, args: Namespace) -> int:
    """Serve a page with a proposal for each gap, until Ctrl-C."""
    with serving_extra():
        from showtell.serving.review.session import Review, ReviewItem, check_output
    output = Path(args.review)
    check_output(output)
    items = {text_name(one): ReviewItem(text_name(one), one.image, one.name) for one in result.missing}
    words = ["showtell", "alt", *args.paths, *(["--root", args.root] if args.root else [])]
    then = shlex.join([*words, "--texts", args.review, "--write"])
    review = Review(list(items.values()), output, kind="alt", then=then)
    with review.alone():
        return serve_model(args, ServingConfig(), review=review)


def _apply(result: Survey, args: Namespace, backup: Backup | None) -> int:
    """Take the texts of a table; returns 1 if none belongs to a gap, or a file was not changed."""
    texts = read_texts(Path(args.texts))
    changes = Changes(backup)
    used = set()
    screen = Screen(keep_going=bool(args.patch or args.write))
    try:
        for missing in result.missing:
            name = text_name(missing)
            if name in texts:
                used.add(name)
                if args.patch != "-":
                    screen.add_line(one_line(f"{missing.name}: {texts[name]}"))
                changes.add(missing, texts[name])
        left = len({text_name(missing) for missing in result.missing} - used)
        log.info("%s: %d texts used, %d images are still without one", args.texts, len(used), left)
        if args.patch:
            _write_patch(args.patch, changes.patch())
        if backup:
            changes.write_pages()
    finally:
        _tell(changes)
    return 1 if changes.failed or not used else 0


def _propose_all(result: Survey, args: Namespace, writer: FileWriter | None, backup: Backup | None) -> int:
    changes = Changes(backup)
    tally = Tally(writer.path if writer else None)
    outputs: list[Output] = [tally]
    if writer:
        outputs.append(writer)
    if args.patch != "-":
        outputs.append(Screen(keep_going=bool(writer or args.patch or args.write)))
    captioner = load_model(args)
    require_confidence(captioner, args.min_confidence)
    changing = bool(args.patch or args.write)
    if changing and args.min_confidence is None:
        _tell_if_nothing_is_doubtful(captioner)
    left_out: list[Record] = []
    records = _records(captioner, result.missing, args.min_confidence, isinstance(writer, GalleryWriter))
    try:
        with ExitStack() as stack:
            for output in outputs:
                stack.enter_context(output)
            for missing, record in stack.enter_context(closing(records)):
                for output in outputs:
                    output.add(record)
                if record.captions and record.doubtful(record.captions[0]):
                    left_out.append(record)
                elif record.captions:
                    changes.add(missing, record.captions[0].text)
        if args.patch:
            _write_patch(args.patch, changes.patch())
        if backup:
            changes.write_pages()
    finally:
        if changing:
            _tell_left_out(left_out)
        _tell(changes)
    return 1 if changes.failed or not tally.captioned else 0


def _records(
    captioner: CaptioningModel, missing: list[Missing], min_confidence: float | None, previews: bool
) -> Generator[tuple[Missing, Record], None, None]:
    """Caption each image once; a record for each place where it is."""
    places: dict[Path, list[Missing]] = {}
    for one in missing:
        places.setdefault(one.image, []).append(one)
    photos = [Photo(str(image), image) for image in places]
    stream = captioner.caption_stream(
        photos,
        open_source=lambda photo: photo.open_with_preview(captioner.transform) if previews else photo.file,
    )
    quiet = len(photos) <= PROGRESS_BAR_ABOVE or bars_hidden()
    for done in tqdm(stream, total=len(photos), desc="captions", unit="img", disable=quiet):
        captions = tuple(replace(c, text=as_sentence(c.text)) for c in done.captions)
        reason = done.error.reason if done.error else None
        for one in places[Path(done.source.file)]:
            yield one, Record(one.name, captions, reason, done.source.preview, min_confidence)


def _write_patch(target: str, patch: Patch) -> None:
    here = patch.folder == Path.cwd().resolve()
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(patch.content)
        if not here:
            log.info("the patch applies in %s", patch.folder)
        return
    try:
        write_atomic(Path(target), patch.content)
    except OSError as error:
        raise ShowtellError(f"{target}: cannot be written ({error.strerror or error})") from error
    file = shlex.quote(target if here else str(Path(target).resolve()))
    folder = shlex.quote(str(patch.folder))
    log.info(
        "%s: apply it with: git%s apply %s  or: patch%s -p1 --binary -i %s",
        target,
        "" if here else f" -C {folder}",
        file,
        "" if here else f" -d {folder}",
        file,
    )


def _tell_if_nothing_is_doubtful(captioner: CaptioningModel) -> None:
    if captioner.calibration is None:
        log.info("this model's confidence is not calibrated: no proposal is doubtful, all are taken")
    elif captioner.calibration.doubtful is None:
        log.info(
            "this model has no threshold of confidence: no proposal is doubtful, all are taken; set one with"
            " --min-confidence 0.4"
        )


def _tell_left_out(records: list[Record]) -> None:
    """Which proposals are not in the changes, since they are doubtful; and what to do."""
    for record in records:
        best = record.captions[0]
        log.warning(
            "left out %s: %s  (doubtful: %.0f%%)",
            one_line(record.image),
            best.text,
            100 * (best.confidence or 0),
        )
    if records:
        log.warning(
            "left out %d doubtful proposal%s, since a wrong text is worse than none: look at the photo%s"
            " and write the text by hand, or take all proposals with --min-confidence 0",
            len(records),
            *["s" * (len(records) != 1)] * 2,
        )


def _tell(changes: Changes) -> None:
    """Log the files that were changed and the command that restores them; after Ctrl-C too."""
    for name, reason in changes.failed.items():
        log.warning("%s: %s", name, reason)
    if changes.backup and changes.backup.count:
        log.info(
            "changed %d files; undo: showtell alt --undo %s", changes.backup.count, changes.backup.folder
        )
