"""At least 100 kills and 100 racing edits: not one byte is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and exchanges files in one step")
def test_nothing_is_lost_by_kills_and_edits(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.alt.storm", str(tmp_path), "100", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["killed"]["lost"] == []
    assert outcome["edited"]["lost"] == []
    assert outcome["killed"]["kills"] >= 100
    assert outcome["killed"]["midway"] >= 10
    assert outcome["edited"]["edits"] >= 100
    assert outcome["edited"]["left_alone"] >= 10
