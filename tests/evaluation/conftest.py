"""Some scores are compared with pycocoevalcap, which some machines lack."""

from __future__ import annotations

from importlib.util import find_spec

COMPARED = (
    "bleu",
    "cider",
    "diversity",
    "java_metrics",
    "reliability",
    "rouge",
    "scores",
    "submission",
    "validation",
)
collect_ignore = [] if find_spec("pycocoevalcap") else [f"test_{name}.py" for name in COMPARED]
