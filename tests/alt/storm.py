"""`showtell alt` under kills and racing edits: python -m tests.alt.storm FOLDER KILLS EDITS.

The real command runs in forks of this process, with a stub of the model. Prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from jsonargparse import ArgumentParser
from PIL import Image

import showtell.commands.alt as command
from showtell.alt.backup import MANIFEST
from showtell.captioning.caption import Caption, CaptionResult

PAGES, PHOTOS = 8, 4
Contents = dict[str, bytes]


class Stub:
    """Captions every photo alike."""

    calibration = None
    transform = None

    def caption_stream(self, photos: list[object], open_source: object) -> Iterator[CaptionResult]:
        for photo in photos:
            yield CaptionResult(photo, (Caption("a dog", ("a", "dog"), (0.0, 0.0)),))


def make_site(folder: Path) -> Path:
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "p.jpg")
    for number in range(PAGES // 2):
        (folder / f"{number}.html").write_text("<!--000000--><img src=p.jpg>\n")
        (folder / f"{number}.md").write_text("<!--000000-->\n\n![](p.jpg)\n")
    return folder


def make_library(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(PHOTOS):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.jpg")
    return folder


def contents(folder: Path) -> Contents:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PARSER = ArgumentParser()
command.add_arguments(PARSER)
ARGUMENTS = PARSER.parse_args(["--model=stub"])  # once: it takes longer than what is to be killed


def fork(folder: Path | None, backup: Path) -> int:
    """Begin to write, or to undo if no folder is given; returns the process's id."""
    child = os.fork()
    if child:
        return child
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    arguments = ARGUMENTS.clone()
    if folder:
        arguments.paths, arguments.write, arguments.backup = [str(folder)], True, str(backup)
    else:
        arguments.undo = str(backup)
    code = 70
    with suppress(BaseException):
        code = command.run(PARSER, arguments)
    os._exit(code)


def wait(child: int, seconds: float | None = None) -> bool:
    """Wait for an end, or kill after so many seconds; returns whether it was killed."""
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) in (0, 1), status
    return os.WIFSIGNALED(status)


def wait_for(path: Path) -> float:
    """Wait until a file is there; returns the time."""
    while not path.exists():
        pass
    return time.monotonic()


def kill_often(work: Path, kills: int) -> dict[str, object]:
    """Kill writing, and sometimes undo too, at random moments; then undo, and compare every byte."""
    lost, counts = [], {"kills": 0, "midway": 0, "undo_kills": 0}
    durations: dict[bool, float] = {}
    number = 0
    while counts["kills"] < kills:
        number += 1
        library = number % 3 == 0
        folder, backup = work / f"site{number}", work / f"backup{number}"
        (make_library if library else make_site)(folder)
        before = contents(folder)
        child = fork(folder, backup)
        start = wait_for(backup / MANIFEST)
        if library not in durations:
            wait(child)
            durations[library] = time.monotonic() - start
            assert contents(folder) != before
        else:
            counts["kills"] += wait(child, random.uniform(0, 1) * durations[library])
        after = contents(folder)
        changed = sum(after[name] != before[name] for name in before)
        counts["midway"] += 0 < changed < (PHOTOS if library else PAGES)
        if number % 2:
            counts["undo_kills"] += wait(fork(None, backup), random.uniform(0, 1) * durations[library])
        wait(fork(None, backup))
        if contents(folder) != before or set(after) != set(before):
            lost.append(str(folder))
    return {**counts, "lost": lost}


def overwrite(page: Path, text: bytes) -> None:
    page.write_bytes(text)


def rename(page: Path, text: bytes) -> None:
    temporary = page.with_suffix(".swp")
    temporary.write_bytes(text)
    temporary.replace(page)


def patch(page: Path, text: bytes) -> None:
    """Write a part through a handle that is open for a while."""
    with page.open("r+b") as file:
        time.sleep(random.choice((0, 0.002)))
        file.write(text[:13])


def append(page: Path, text: bytes) -> None:
    with page.open("ab") as file:
        time.sleep(random.choice((0, 0.002)))
        file.write(text[:13])


def edit(page: Path, expected: Contents, number: int) -> None:
    """Save a page in one of four ways, and note what it has to be (apart from alt texts)."""
    old, mark = expected[page.name], f"<!--{number:06}-->".encode()
    way: Callable[[Path, bytes], None] = random.choice((overwrite, rename, patch, append))
    new = old + mark if way is append else mark + old[13:]
    way(page, mark if way is append else new)
    expected[page.name] = new


def without_alt(contents: Contents) -> Contents:
    return {name: re.sub(rb' alt="A dog"|(?<=!\[)A dog', b"", text) for name, text in contents.items()}


def _names(folder: Path) -> list[str]:
    """What is in a folder that may be gone, and come, at any moment."""
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def edit_often(work: Path, edits: int) -> dict[str, object]:
    """Save pages while they are changed: those whose copy is just in the backup, and others."""
    lost, counts = [], {"edits": 0, "runs": 0, "left_alone": 0}
    while counts["edits"] < edits:
        counts["runs"] += 1
        folder, backup = make_site(work / f"edited{counts['runs']}"), work / f"copies{counts['runs']}"
        expected, seen = contents(folder), set[str]()
        child = fork(folder, backup)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            names = _names(backup)
            fresh = {name for name in names if name[0] == "0" and name not in seen}
            seen |= fresh
            pages = [folder / match[1] for name in fresh if (match := re.fullmatch(r"\d{6}-(\d\.\w+)", name))]
            pages = [page for page in pages if random.random() < 0.6]
            if seen and not fresh and random.random() < 0.002:
                pages = [folder / random.choice([name for name in expected if name != "p.jpg"])]
            for page in pages:
                counts["edits"] += 1
                edit(page, expected, counts["edits"])
        after = contents(folder)
        counts["left_alone"] += sum(b"dog" not in text for name, text in after.items() if name != "p.jpg")
        if without_alt(after) != expected:
            lost.append(f"{folder}: after writing")
        if backup.exists():  # else every page was left alone
            wait(fork(None, backup))
        if without_alt(contents(folder)) != expected:
            lost.append(f"{folder}: after undo")
    return {**counts, "lost": lost}


if __name__ == "__main__":
    command.load_model = lambda args: Stub()  # type: ignore[assignment,return-value]
    command.require_confidence = lambda *_: None
    command.tqdm = lambda stream, **_: stream  # type: ignore[assignment,misc]
    random.seed(0)
    work, kills, edits = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    edited = edit_often(work, edits)
    os.fsync = lambda _: None  # a kill loses nothing that was written; a power cut is not tried here
    print(json.dumps(SimpleNamespace(killed=kill_often(work, kills), edited=edited).__dict__))
