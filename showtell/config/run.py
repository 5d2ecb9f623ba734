"""Every setting of a run, with its default, as frozen dataclasses.

The docstring under a field is its help text on the command line (read by jsonargparse). A section checks
its own values when it is made; `RunConfig` checks those that concern several sections. So a run that
starts has been validated as a whole.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from showtell.config.checks import require
from showtell.config.data import DataConfig
from showtell.config.inference import SearchConfig
from showtell.config.model import CacheConfig, DecoderConfig, EncoderConfig, FeatureMode
from showtell.config.training import (
    DistillationConfig,
    FineTuningConfig,
    SelfCriticalConfig,
    TrainerConfig,
    TrainingConfig,
)


@dataclass(frozen=True)
class RunConfig:
    """A training run: its data, model, training, and the search of its validation."""

    init: str = "auto"
    """Model to start from, with its encoder, decoder and vocabulary: a run, a folder in models/, or a hub id;
    `none` trains from scratch. `auto`: the included model, if there are fewer than 3,000 training photos
    and no other setting contradicts it."""
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    features: FeatureMode = "auto"
    """`cached`: the features of every image are computed once and stored. `memory`: they are computed once,
    and stay in the memory of the device that trains. `auto`: `memory` on a GPU that has room, else `cached`.
    `online`: they are computed in every epoch, from random crops and flips (slow)."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    finetune: FineTuningConfig = field(default_factory=FineTuningConfig)
    self_critical: SelfCriticalConfig = field(default_factory=SelfCriticalConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    out: str = "runs/scenes"
    """Folder of the run: its model, checkpoint, logs and curves."""

    def __post_init__(self) -> None:
        require(not self.search.sample, "search.sample is for captioning: a run is validated by beam search")
        later = self.self_critical.epochs > 0 or self.distillation.epochs > 0
        require(
            self.training.epochs >= 1 or (later and self.init != "none"),
            "training.epochs must be at least 1; 0 is for self_critical or distillation from a model (init)",
        )
        require(
            self.features != "online" or self.cache.exported is None,
            "features: online are computed by PyTorch; leave out cache.exported, or choose cached",
        )
        require(
            not self.distillation.epochs or "full" in self.cache.views,
            "distillation compares whole images too: add full to cache.views",
        )

    @property
    def out_dir(self) -> Path:
        """The run's folder."""
        return Path(self.out)


SECTIONS: Final[dict[str, Any]] = {
    each.name: each.default_factory for each in fields(RunConfig) if each.default_factory is not MISSING
}
"""The dataclass of each section of `RunConfig`, by its name."""
