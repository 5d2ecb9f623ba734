"""Where the models that ship with showtell are."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "models", _PACKAGE.parent / "models")
"""In an installed package; in a checkout."""

MODELS = next((folder for folder in _PLACES if folder.is_dir()), _PLACES[0])
"""Folder of the models that ship with showtell."""

DEFAULT_MODEL = "everyday"
"""The captioner among them that commands use if none is named."""


def find_model(name: str) -> Path | None:
    """The file or folder that a model's name stands for: a path, or a folder in models/; None if neither."""
    for candidate in (Path(name), MODELS / name):
        try:
            if candidate.exists():
                return candidate
        except OSError:  # no name that a file could have
            continue
    return None
