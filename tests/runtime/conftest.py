"""A folder of an exported model that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """The exported model, in a folder of this test's own."""
    return Path(shutil.copytree(exported, tmp_path / "copied"))
