"""A summary of a training run: its settings, and the scores of the epoch that was saved."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from showtell.checkpoints.run_folder import HISTORY
from showtell.errors import UsageError
from showtell.utils.files import read_json
from showtell.utils.runs import CONFIG
from showtell.utils.yaml_files import read_yaml

FILES: Final = (CONFIG, HISTORY, "reliability.json")
SCORES: Final[tuple[str, ...]] = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr")


@dataclass(frozen=True)
class RunSummary:
    """Settings and scores of a run, read from its folder.

    Attributes:
        settings: those of `RunConfig`, by section.
        epochs: how many it has had.
        best: the epoch whose model was saved last; 0 if there is no history.
        scores: of this epoch, on the validation photos, by name.
        reliability: of the confidence, on the validation photos: what reliability.json holds, or empty.
    """

    settings: dict[str, Any]
    epochs: int
    best: int
    scores: dict[str, float]
    reliability: dict[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """Name of the dataset: that of its folder, without the path; of several joined by "+"."""
        root = self.settings.get("data", {}).get("root")
        items = root if isinstance(root, list) else [root] if root else []
        roots = [item.get("root", "") if isinstance(item, dict) else item for item in items]
        return "+".join(Path(root).absolute().name for root in roots) or "scenes"  # "." has no name

    @property
    def initial(self) -> str | None:
        """Name of the model that training started from, without the path; None from scratch."""
        name = self.settings.get("init", "none")
        return None if name in ("none", "auto") else Path(name).name


def read_run(folder: Path) -> RunSummary | None:
    """Read config.yaml, history.csv and reliability.json of a run's folder; None if it is no run's.

    Raises:
        UsageError: one of the files is damaged.
    """
    config, history, confidence = (folder / name for name in FILES)
    if not config.is_file():
        return None
    try:
        settings = read_yaml(config)
        if not isinstance(settings, dict):
            raise UsageError(f"{config}: damaged, no settings; move it away or fix it")
        rows = _rows(history) if history.is_file() else []
        saved = [row for row in rows if row.get("saved")]
        best = saved[-1] if saved else {}
        reliability = read_json(confidence) if confidence.is_file() else {}
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder}: {' or '.join(FILES)} is damaged ({reason}); fix it") from error
    scores = {name: best[name] for name in SCORES if name in best}
    return RunSummary(settings, len(rows), int(best.get("epoch", 0)), scores, reliability)


def _rows(history: Path) -> list[dict[str, float]]:
    """The epochs, with the known scores of each."""
    with history.open(encoding="utf-8", newline="") as lines:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(lines)]
