"""Settings of training: values that are refused, and which ones count where training starts from a model."""

from __future__ import annotations

from typing import Any

import pytest

from showtell.config import (
    DistillationConfig,
    FineTuningConfig,
    SelfCriticalConfig,
    TrainerConfig,
    TrainingConfig,
)
from showtell.errors import ConfigError

NAN = float("nan")


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        (TrainingConfig, {"epochs": -1}, "training.epochs must be at least 0"),
        (TrainingConfig, {"learning_rate": 0}, "training.learning_rate must be over 0"),
        (TrainingConfig, {"learning_rate": NAN}, "training.learning_rate must be over 0"),
        (TrainingConfig, {"gradient_clip": -1}, "training.gradient_clip must be at least 0"),
        (TrainingConfig, {"warmup": 1}, "training.warmup must be at least 0 and less than 1"),
        (TrainingConfig, {"label_smoothing": -0.1}, "training.label_smoothing"),
        (FineTuningConfig, {"batch_size": 0}, "finetune.batch_size must be at least 1"),
        (FineTuningConfig, {"learning_rate": NAN}, "finetune.learning_rate must be over 0"),
        (FineTuningConfig, {"patience": -1}, "finetune.patience"),
        (FineTuningConfig, {"distillation": 1}, "finetune.distillation must be at least 0 and less than 1"),
        (FineTuningConfig, {"mixing": 0}, "finetune.mixing must be over 0 and at most 1"),
        (TrainerConfig, {"devices": 0}, "trainer.devices must be at least 1, or auto"),
        (TrainerConfig, {"num_nodes": -1}, "trainer.num_nodes must be at least 1, or auto"),
        (SelfCriticalConfig, {"epochs": -1}, "self_critical.epochs must be at least 0"),
        (SelfCriticalConfig, {"temperature": 0}, "self_critical.temperature must be over 0"),
        (SelfCriticalConfig, {"samples": 1}, "self_critical.samples must be at least 2"),  # no baseline
        (SelfCriticalConfig, {"min_references": 0}, "self_critical.min_references"),
        (SelfCriticalConfig, {"max_length": 0}, "self_critical.max_length"),
        (DistillationConfig, {"epochs": -1}, "distillation.epochs must be at least 0"),
        (DistillationConfig, {"learning_rate": NAN}, "distillation.learning_rate must be over 0"),
        (DistillationConfig, {"samples": 0}, "distillation.samples must be at least 1"),
        (DistillationConfig, {"mixup": 1.5}, "distillation.mixup must be at least 0 and at most 1"),
        (DistillationConfig, {"epochs": 2}, "distillation takes both teachers and epochs"),
        (DistillationConfig, {"teachers": ["a"]}, "distillation takes both teachers and epochs"),
    ],
)
def test_values_that_are_refused(section: type, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        section(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("finetune", "training", "epochs"),
    [
        ({}, {}, FineTuningConfig().epochs),
        ({}, {"epochs": 3}, 3),  # what is set for training counts
        ({"epochs": 4}, {}, 4),
        ({"epochs": 4}, {"epochs": 3}, 4),  # the more special one
    ],
)
def test_settings_of_fine_tuning_take_the_place_of_defaults(
    finetune: dict[str, Any], training: dict[str, Any], epochs: int
) -> None:
    applied = FineTuningConfig(**finetune).applied_to(TrainingConfig(seed=5, **training))
    ours = FineTuningConfig(**finetune)
    assert applied == TrainingConfig(
        epochs=epochs,
        batch_size=ours.batch_size,
        learning_rate=ours.learning_rate,
        patience=ours.patience,
        seed=5,
    )
