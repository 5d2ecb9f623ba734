"""The runs that were trained here: folders with a model in `runs/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from showtell.errors import UnknownModelError

RUNS: Final = Path("runs")
"""Where runs are, from the working directory."""
LAST: Final = "last"
"""Stands for the newest run, wherever a model or a run is named."""
MODEL: Final = "model.safetensors"
"""The best model of a run."""
CONFIG: Final = "config.yaml"
"""The settings of a run; a folder that has them is taken."""


def run_folders(*, trained: bool = False) -> list[Path]:
    """The folders of runs in `runs/` and one level below, the one that was worked on last first.

    Args:
        trained: only those that have saved a model.
    """
    times: dict[Path, float] = {}
    for name in (MODEL,) if trained else (MODEL, CONFIG):
        for depth in ("*", "*/*"):
            for file in RUNS.glob(f"{depth}/{name}"):
                try:
                    times[file.parent] = max(times.get(file.parent, 0.0), file.stat().st_mtime)
                except OSError:  # removed meanwhile, or a broken link
                    continue
    return sorted(times, key=lambda folder: (-times[folder], str(folder)))


def resolve_last(name: str) -> str:
    """A model's name, or those of an ensemble `a,b`, with the newest run's in place of `last`.

    Raises:
        UnknownModelError: there is no run.
    """
    members = name.split(",")
    if LAST not in members or Path(LAST).exists():
        return name
    return ",".join(str(newest_run()) if member == LAST else member for member in members)


def newest_run() -> Path:
    """The run whose model was saved last.

    Raises:
        UnknownModelError: there is none.
    """
    runs = run_folders(trained=True)
    if not runs:
        raise UnknownModelError(
            f"{LAST}: no run with a model in {RUNS}/ here; name a run's folder, or train one (main.py)"
        )
    return runs[0]
