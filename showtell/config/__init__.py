"""The configuration of a run: one dataclass per section, each value checked when it is made."""

from __future__ import annotations

from showtell.config.data import DataConfig, DatasetConfig, DatasetFormat, References, Segmentation, View
from showtell.config.inference import SearchConfig, ServingConfig
from showtell.config.model import (
    DEVICE_VARIABLE,
    CacheConfig,
    Cell,
    DecoderConfig,
    DecoderKind,
    EncoderConfig,
    FeatureMode,
    FeatureType,
    Precision,
    Runtime,
)
from showtell.config.run import SECTIONS, RunConfig
from showtell.config.training import (
    DistillationConfig,
    FineTuningConfig,
    LoggerKind,
    SelfCriticalConfig,
    TrainerConfig,
    TrainingConfig,
)

__all__ = [
    "DEVICE_VARIABLE",
    "SECTIONS",
    "CacheConfig",
    "Cell",
    "DataConfig",
    "DatasetConfig",
    "DatasetFormat",
    "DecoderConfig",
    "DecoderKind",
    "DistillationConfig",
    "EncoderConfig",
    "FeatureMode",
    "FeatureType",
    "FineTuningConfig",
    "LoggerKind",
    "Precision",
    "References",
    "RunConfig",
    "Runtime",
    "SearchConfig",
    "Segmentation",
    "SelfCriticalConfig",
    "ServingConfig",
    "TrainerConfig",
    "TrainingConfig",
    "View",
]
