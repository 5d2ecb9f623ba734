"""Scores of a model on a split with their intervals, saved for comparison with later evaluations."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from showtell.errors import DataError
from showtell.evaluation.scores import Scores
from showtell.evaluation.significance import Interval, bootstrap
from showtell.utils.files import write_atomic

UNDECODED: Final = "photo that cannot be decoded"
"""Reason in `ScoreCard.skipped` for which a model has no caption of an image."""
_LONGEST_STEM: Final = 80


@dataclass(frozen=True)
class ScoreCard:
    """Scores of a model on a split.

    Attributes:
        model: its name, or that of the file of predictions.
        data: the name of the dataset.
        split: the part of it.
        images: how many were scored.
        fingerprint: of the ids of these images: cards of the same images can be compared.
        search: settings of the search; empty if the captions came from a file.
        date: when, in UTC (ISO 8601).
        values: name -> score.
        intervals: name -> its 95 % interval, if it has one.
        left_out: name -> why there is no such score.
        skipped: reason -> entries and photos that were dropped, or counted as wrong.
        notes: name -> what to know of this score.
    """

    model: str
    data: str
    split: str
    images: int
    fingerprint: str
    search: str
    date: str
    values: dict[str, float]
    intervals: dict[str, Interval]
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """A one-line description of the evaluation."""
        how = f", {self.search}" if self.search else ""
        return f"{self.model} on {self.images:,} images of {self.data} ({self.split}{how})"

    @classmethod
    def of(
        cls,
        scores: Scores,
        *,
        model: str,
        data: str,
        split: str,
        search: str = "",
        skipped: Mapping[str, int] | None = None,
    ) -> ScoreCard:
        """The card of what was measured; the intervals are made here."""
        return cls(
            model=model,
            data=data,
            split=split,
            images=len(scores.images),
            fingerprint=hashlib.sha256("\n".join(scores.images).encode()).hexdigest()[:16],
            search=search,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            values=scores.all_values,
            intervals={name: bootstrap(statistic) for name, statistic in scores.statistics.items()},
            left_out=dict(scores.skipped_metrics),
            skipped=dict(skipped or {}),
            notes=dict(scores.notes),
        )

    def save(self, folder: Path) -> Path:
        """Write it to `folder`/<model>.json, in place of an earlier one of this model.

        Raises:
            OSError: it cannot be written.
        """
        return write_atomic(
            folder / f"{file_stem(self.model)}.json", json.dumps(asdict(self), indent=1) + "\n"
        )

    @classmethod
    def load(cls, file: Path) -> ScoreCard:
        """Read what `save` wrote.

        Raises:
            DataError: it is no such file.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            intervals = {name: Interval(**value) for name, value in content.pop("intervals").items()}
            return cls(**content, intervals=intervals)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{file}: these are no scores of showtell evaluate; name another file") from error


def file_stem(model: str) -> str:
    """A model's name as part of a file's name: `runs/mine` -> `runs-mine`.

    A name that loses more than its slashes, and the @ before an image size, gets a checksum, lest two models
    share a file.
    """
    stem = re.sub(r"[^\w.-]+", "-", model).strip("-.")
    if 0 < len(stem) <= _LONGEST_STEM and stem == re.sub("[/@]", "-", model.lstrip("/")):
        return stem
    return f"{stem[-_LONGEST_STEM:]}-{hashlib.sha256(model.encode()).hexdigest()[:8]}".lstrip("-.")


def earlier_cards(folder: Path, card: ScoreCard) -> list[ScoreCard]:
    """The cards of other models on the same images in a folder, the oldest first."""
    cards = []
    for file in folder.glob("*.json"):
        try:
            other = ScoreCard.load(file)
        except DataError:
            continue
        if other.fingerprint == card.fingerprint and other.model != card.model:
            cards.append(other)
    return sorted(cards, key=lambda other: other.date)
