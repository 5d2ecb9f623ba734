"""Settings of training: cross-entropy, fine-tuning, self-critical training, distillation, devices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from showtell.config.checks import paths_to_text, require
from showtell.config.data import References
from showtell.config.model import Precision

LoggerKind = Literal["tensorboard", "wandb", "mlflow", "none"]
"""The logger of the scores and captions of each epoch, besides `history.csv`."""


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser, schedule, batches and logging."""

    epochs: int = 15
    """Maximum number of passes over the training images; 0 for the later stages alone, from the model of
    `init`."""
    batch_size: int = 64
    """Maximum number of images in a batch, over all devices, each with all of its captions; the batches of an
    epoch differ by one image at most."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW, reached after the warm-up, then lowered to zero by a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW (matrices only)."""
    warmup: float = 0.03
    """Fraction of all steps over which the learning rate rises."""
    label_smoothing: float = 0.1
    """Fraction of the target probability that is spread over all words."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    patience: int = 5
    """Stop after this many epochs in a row without a lower validation loss; 0 to never stop early."""
    precision: Precision = "auto"
    """Number format of the decoder's matrix products; `auto` takes bf16 if the machine is fast at it."""
    checkpoint_minutes: float = 10.0
    """Minutes between two checkpoints within an epoch; there is one after each epoch anyway."""
    num_workers: int = 0
    """Processes that load batches beside the training process (`online` features and slow disks)."""
    seed: int = 0
    """Seed of the weights, the order of the batches and dropout."""
    logger: LoggerKind = "tensorboard"
    """Logs the scores of each epoch, and some photos with their captions: files in the run's folder for
    TensorBoard, Weights & Biases, or MLflow."""
    logged_photos: int = 8
    """Validation photos whose captions are logged after each epoch; W&B and MLflow get the photos."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "training.batch_size must be at least 1")
        require(self.learning_rate > 0, "training.learning_rate must be over 0")
        for name in (
            "epochs",
            "weight_decay",
            "gradient_clip",
            "patience",
            "num_workers",
            "checkpoint_minutes",
            "logged_photos",
            "seed",
        ):
            require(getattr(self, name) >= 0, f"training.{name} must be at least 0")
        for name in ("warmup", "label_smoothing"):
            require(0 <= getattr(self, name) < 1, f"training.{name} must be at least 0 and less than 1")


@dataclass(frozen=True)
class FineTuningConfig:
    """Optimisation settings used if training starts from a model (`init`).

    They replace the defaults of `training`. A `training` value that differs from its default takes
    precedence, unless the value here differs from its default too.
    """

    epochs: int = 10
    """Maximum number of passes over the training images."""
    batch_size: int = 16
    """Maximum number of images in a batch, over all devices."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    patience: int = 3
    """Stop after this many epochs in a row without a lower validation loss; 0 to never stop early."""
    distillation: float = 0.3
    """Weight of the distillation loss against the initial model (Li & Hoiem 2016); higher retains more of
    that model."""
    mixing: float = 0.6
    """Weight of the trained parameters in their average with the initial ones, which is validated and saved
    (Wortsman et al. 2022); lower retains more, 1 is no averaging."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, f"finetune.{name} must be at least 1")
        require(self.learning_rate > 0, "finetune.learning_rate must be over 0")
        require(self.patience >= 0, "finetune.patience must be at least 0")
        require(0 <= self.distillation < 1, "finetune.distillation must be at least 0 and less than 1")
        require(0 < self.mixing <= 1, "finetune.mixing must be over 0 and at most 1")

    def applied_to(self, training: TrainingConfig) -> TrainingConfig:
        """The settings of `training` with these in place of its defaults."""
        usual, ours = TrainingConfig(), FineTuningConfig()
        taken = {
            name: getattr(self, name)
            for name in ("epochs", "batch_size", "learning_rate", "patience")
            if getattr(training, name) == getattr(usual, name) or getattr(self, name) != getattr(ours, name)
        }
        return replace(training, **taken)


@dataclass(frozen=True)
class TrainerConfig:
    """The processes that train together; each takes its share of every batch."""

    devices: int | Literal["auto"] = "auto"
    """GPUs to train on, one process per GPU (on the CPU: processes). `auto`: as many as torchrun or srun
    started, else one."""
    num_nodes: int | Literal["auto"] = "auto"
    """Machines to train on. `auto`: as torchrun or srun says, else one."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes"):
            value = getattr(self, name)
            require(value == "auto" or value >= 1, f"trainer.{name} must be at least 1, or auto")


@dataclass(frozen=True)
class SelfCriticalConfig:
    """Self-critical training after cross-entropy training: sampled captions are rewarded with CIDEr-D."""

    epochs: int = 0
    """Number of epochs; 0 skips this stage."""
    learning_rate: float = 1e-4
    """Learning rate of AdamW at the start; it falls linearly to a tenth."""
    samples: int = 5
    """Captions sampled per image; the baseline of each is the mean reward of the others."""
    temperature: float = 0.7
    """Temperature of the sampled captions and of their log-probabilities in the loss. Below 1 it undoes what
    label smoothing has given to all words."""
    max_length: int = 18
    """Maximum number of words in a sampled caption."""
    references: References = "person"
    """References of the rewards: human captions only (`person`), or all."""
    min_references: int = 1
    """Images with fewer references are left out of self-critical training."""
    cross_entropy: float = 0.3
    """Weight of the cross-entropy in the loss; it preserves the words and the length of human captions."""

    def __post_init__(self) -> None:
        for name in ("epochs", "cross_entropy"):
            require(getattr(self, name) >= 0, f"self_critical.{name} must be at least 0")
        for name in ("learning_rate", "temperature"):
            require(getattr(self, name) > 0, f"self_critical.{name} must be over 0")
        require(self.samples >= 2, "self_critical.samples must be at least 2")
        require(self.min_references >= 1, "self_critical.min_references must be at least 1")
        require(self.max_length >= 1, "self_critical.max_length must be at least 1")


@dataclass(frozen=True)
class DistillationConfig:
    """Distillation, the last stage of training: the model learns the mean word probabilities of others."""

    teachers: list[str] = field(default_factory=list)
    """Teacher models: runs, folders in models/, or hub ids. Their encoder, image size and
    vocabulary are those of the model that is trained."""
    epochs: int = 0
    """Number of epochs; 0 skips this stage."""
    learning_rate: float = 3e-4
    """Peak learning rate of AdamW, reached after the warm-up, then lowered to zero by a cosine."""
    samples: int = 3
    """Captions sampled per image. At each of their words, and at those of human captions, the model's
    probabilities are compared with those of the teachers."""
    max_length: int = 18
    """Maximum number of words in a sampled caption."""
    mixup: float = 0.5
    """Share of the images that are mixed with another one (mixup)."""

    def __post_init__(self) -> None:
        paths_to_text(self, "teachers")
        require(self.epochs >= 0, "distillation.epochs must be at least 0")
        require(self.learning_rate > 0, "distillation.learning_rate must be over 0")
        for name in ("samples", "max_length"):
            require(getattr(self, name) >= 1, f"distillation.{name} must be at least 1")
        require(0 <= self.mixup <= 1, "distillation.mixup must be at least 0 and at most 1")
        require(
            bool(self.teachers) == bool(self.epochs),
            "distillation takes both teachers and epochs (distillation.teachers, distillation.epochs)",
        )
