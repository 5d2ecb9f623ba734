"""The root script: its names, and how fast it answers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import data_preprocessing

ROOT = Path(__file__).resolve().parents[1]


def test_every_name_is_the_one_of_the_package() -> None:
    assert sorted(data_preprocessing._HOME) == sorted(data_preprocessing.__all__) == dir(data_preprocessing)
    for name, module in data_preprocessing._HOME.items():
        assert getattr(data_preprocessing, name) is getattr(import_module(module), name)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'data_preprocessing' has no attribute 'CocoDataset'"):
        data_preprocessing.CocoDataset  # noqa: B018


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
