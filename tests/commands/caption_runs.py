"""Runs of showtell caption in this process, and the captions that they should give."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from showtell.captioning.captioner import Captioner
from showtell.cli import run_command
from showtell.config import SearchConfig


class Done(NamedTuple):
    code: int
    out: list[str]
    err: list[str]


Run = Callable[..., Done]


@cache
def open_model(model: Path) -> Captioner:
    return Captioner.load(str(model))


def expected(
    model: Path, photos: list[Path], config: SearchConfig | None = None
) -> list[list[tuple[str, float]]]:
    """Captions and log-probabilities of photos taken one by one, without the command."""
    captioner = open_model(model)
    return [
        [(caption.text, caption.log_probability) for caption in captioner.caption([photo], config)[0]]
        for photo in photos
    ]


@cache
def line(model: Path, photo: Path) -> str:
    return f"{photo}: {expected(model, [photo])[0][0][0]}"


def lines(model: Path, photos: list[Path]) -> list[str]:
    """What the command prints of these photos."""
    return [line(model, photo) for photo in photos]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def run_caption(model: Path, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Done:
    """Run the real command in this process."""
    capsys.readouterr()
    try:
        code = run_command("caption", ["--model", str(model), *map(str, arguments)], prog="inference.py")
    except SystemExit as leaving:  # of the argument parser
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    return Done(code, captured.out.splitlines(), captured.err.splitlines())
