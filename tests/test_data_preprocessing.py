"""The root script: its names, and how fast it answers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import data_preprocessing

ROOT = Path(__file__).resolve().parents[1]


def test_the_names_that_people_look_for_are_those_of_the_package() -> None:
    for name in data_preprocessing.__all__:
        value = getattr(data_preprocessing, name)
        assert value is getattr(import_module(value.__module__), name)
    documented = (ROOT / "docs/data_preprocessing.md").read_text(encoding="utf-8")
    asked_for = {
        "Vocabulary",
        "build_vocab",
        "resize_image",
        "preprocess_image",
        "CaptionDataset",
        "collate_fn",
    }
    assert asked_for <= set(data_preprocessing.__all__)
    assert all(f"`{name}" in documented for name in asked_for)


def test_help_does_not_import_torch() -> None:
    code = (
        "import runpy, sys; sys.argv = ['data_preprocessing.py', '--help']\n"
        "try: runpy.run_path('data_preprocessing.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert shown.startswith("usage: data_preprocessing.py")
    assert shown.splitlines()[-1] == "False"
