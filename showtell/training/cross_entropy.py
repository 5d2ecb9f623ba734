"""Training with cross-entropy: the loss of a batch's next words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from showtell.captioning.captioner import Captioner
from showtell.config import TrainingConfig
from showtell.data.dataset import CaptionBatch
from showtell.decoder import RNNDecoder, packed_targets, single_decoder
from showtell.decoder.base import Packing
from showtell.training.distributed import ddp_loss_scale
from showtell.training.losses import linear_cross_entropy
from showtell.utils.devices import to_device


class StepLoss(NamedTuple):
    """The result of a training step.

    Attributes:
        loss: scalar, whose gradient is followed; averaged over the processes, it is that of the whole batch.
        value: the loss or reward whose mean the history shows.
        weight: of the value in this mean: the number of words, or of rewards.
    """

    loss: Tensor
    value: Tensor | float
    weight: float


class CrossEntropy(nn.Module):
    """Cross-entropy of next words, with label smoothing.

    Args:
        captioner: the model, whose decoder is trained.
        config: the optimisation.
        caption_weights: (images, captions) the weight of each training caption; None if all weigh 1.
    """

    stage = "cross-entropy"
    metric = "train_loss"
    settings = "training"

    def __init__(
        self, captioner: Captioner, config: TrainingConfig, caption_weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self._captioner = (captioner,)  # in a tuple: no submodule, so that DDP leaves the encoder alone
        self.config, self.caption_weights = config, caption_weights
        self.decoder = single_decoder(captioner.decoder)  # an ensemble is trained member by member
        self.peak_rate = config.learning_rate

    @property
    def captioner(self) -> Captioner:
        """The model."""
        return self._captioner[0]

    def forward(self, batch: CaptionBatch, step: int) -> StepLoss:  # noqa: ARG002 - sampling needs the step
        """The loss of a batch; `step` is the number of the training step."""
        states = hidden_states(self.decoder, decoder_features(self.captioner, batch.images), batch)
        loss, words = self.cross_entropy(batch, states, self.config.label_smoothing)
        return StepLoss(loss * ddp_loss_scale(words), loss.detach(), words)

    def cross_entropy(
        self, batch: CaptionBatch, states: tuple[Tensor, Tensor], label_smoothing: float
    ) -> tuple[Tensor, float]:
        """See `mean_loss`; of a training batch, whose captions have the weights of the dataset."""
        weights, index = self.caption_weights, (batch.number[batch.image_index], batch.caption_index)
        return mean_loss(
            self.decoder, batch, states, label_smoothing, None if weights is None else weights[index]
        )

    def lr_factor(self, step: int, steps: int) -> float:
        """Learning-rate factor: linear warm-up, then cosine decay to zero over `steps`."""
        warmup = max(1, round(self.config.warmup * steps))
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
        return min((step + 1) / (warmup + 1), falling)

    def monitored(self, metrics: Mapping[str, float]) -> float:
        """The monitored metric: the validation loss; of several datasets, the mean of their losses."""
        return metrics["val_loss"]

    @contextmanager
    def validated_weights(self) -> Iterator[None]:
        """Context in which the decoder has the weights that are validated and saved: the trained ones."""
        yield


def decoder_features(captioner: Captioner, images: Tensor) -> Tensor:
    """Features (B, R, D) of images or of cached features, in fp32 if no autocast converts them."""
    features = captioner.features(images)
    return features if torch.is_autocast_enabled(features.device.type) else features.float()


def hidden_states(decoder: RNNDecoder, features: Tensor, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
    """Hidden states (P, E) before each next token, and these tokens (P,), in packed order.

    Args:
        decoder: the decoder.
        features: (B, R, D) of the batch's images (`decoder_features`).
        batch: the batch.
    """
    hidden = decoder(features, batch.captions, batch.lengths, batch.image_index)
    return hidden, packed_targets(batch.captions, batch.lengths)


def mean_loss(
    decoder: RNNDecoder,
    batch: CaptionBatch,
    states: tuple[Tensor, Tensor],
    label_smoothing: float = 0.0,
    caption_weights: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Mean loss of a batch's next words, and their number.

    Args:
        decoder: that of the states.
        batch: the batch.
        states: its `hidden_states`.
        label_smoothing: share of the probability that the target spreads over all words.
        caption_weights: (N,) weight of each caption, on the CPU; None for 1.

    Returns:
        The mean, weighted by the words' captions, and the sum of the weights of all words.
    """
    hidden, targets = states
    word_weights, words = None, float(len(targets))
    if caption_weights is not None:
        rows = Packing.of(batch.lengths - 1, torch.device("cpu")).sequence  # (P,)
        of_words = caption_weights[rows]
        words = float(of_words.sum())
        word_weights = to_device(of_words * (len(targets) / max(words, 1e-9)), targets.device)
    weight, bias = decoder.embedding.weight, decoder.word_bias
    return linear_cross_entropy(hidden, weight, bias, targets, label_smoothing, word_weights), words
