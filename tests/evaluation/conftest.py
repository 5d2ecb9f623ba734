"""Scores are compared with pycocoevalcap, which some machines lack."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("pycocoevalcap") else ["test_*.py"]
