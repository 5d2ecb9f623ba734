"""A folder of six small photos with captions, as a user has one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import make_snippets

CAPTIONS = ["a red dog", "a blue cat", "a green boat", "a red cat", "a blue dog", "a green cat"]


def make_photo_folder(folder: Path) -> Path:
    """Six photos and `captions.jsonl`, a line for each."""
    paths = make_snippets(folder, len(CAPTIONS))
    lines = [{"image": p.name, "caption": c} for p, c in zip(paths, CAPTIONS, strict=True)]
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
