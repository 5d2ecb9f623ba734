"""Fine-tuning: training steps with distillation from the initial model, and mixing of weights.

It is kept in two ways. The loss has a share that compares with the word probabilities of the initial model
(Li & Hoiem 2016, arXiv:1606.09282), and what is validated and saved are weights between the initial and the
trained ones (Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader
from showtell.data.records import CaptionedImage
from showtell.decoder import RNNDecoder
from showtell.training.initial import known_tokens
from showtell.training.losses import soft_cross_entropy
from showtell.training.module import CaptionModule, share


@dataclass(frozen=True)
class Retention:
    """The initial model and how much of it is kept.

    Attributes:
        teacher: the initial decoder, of the first words of the vocabulary; not changed.
        distillation: share of the loss that compares with its word probabilities.
        mixing: share of the trained weights in those that are validated and saved; the rest are the weights
            that training starts from.
    """

    teacher: RNNDecoder
    distillation: float
    mixing: float


class FineTuningModule(CaptionModule):
    """Trains as `CaptionModule` does, and keeps what the initial model knew.

    Args:
        captioner: the whole model, with the weights that training starts from.
        config: the optimisation.
        search: how captions are found in validation.
        val_images: the validation images, in the order of their loader.
        loader: of the training batches.
        retention: what is kept of the initial model.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        search: SearchConfig,
        val_images: Sequence[CaptionedImage],
        loader: CaptionLoader,
        retention: Retention,
    ) -> None:
        super().__init__(captioner, config, search, val_images, loader)
        self._retention = (retention,)  # in a tuple: not a submodule, so it stays out of checkpoints
        self._start = self._weights()
        self._trained: list[Tensor] = []

    def on_fit_start(self) -> None:
        """The initial model computes where the trained one does."""
        self._retention[0].teacher.to(self.device)

    def _weights(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.decoder.parameters()]

    @torch.no_grad()
    def on_validation_start(self) -> None:
        """Mix the trained weights with those of the start."""
        self._trained = self._weights()
        for parameter, start in zip(self.decoder.parameters(), self._start, strict=True):
            parameter.copy_(torch.lerp(start.to(parameter.device), parameter, self._retention[0].mixing))

    @torch.no_grad()
    def on_validation_end(self) -> None:
        """Go on with the trained weights; Lightning calls this after `SaveBest` has saved the mixed ones."""
        for parameter, trained in zip(self.decoder.parameters(), self._trained, strict=True):
            parameter.copy_(trained)
        self._trained = []

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
        """Loss of a batch, with label smoothing, and the distance from the initial model."""
        hidden, targets = self.hidden_states(batch)
        loss, words = self.loss_of(
            batch, hidden, targets, self.config.label_smoothing, self.caption_weights(batch)
        )
        self.train_loss.add(loss, words)
        kept = self._retention[0].distillation
        if not kept:
            return loss * share(words)
        distance = self._distance(batch, hidden, targets)
        return (1 - kept) * loss * share(words) + kept * distance * share(len(targets))

    def _distance(self, batch: CaptionBatch, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy with the initial model's word probabilities; 0 where the next word is new."""
        teacher = self._retention[0].teacher
        with torch.no_grad():
            tokens = known_tokens(batch.captions, teacher)
            features = self.captioner.features(batch.images)
            before = teacher(features, tokens, batch.lengths, batch.image_index)
            probabilities = teacher.logits(before).float().softmax(dim=1)
        distances = soft_cross_entropy(
            hidden, self.decoder.embedding.weight, self.decoder.word_bias, probabilities
        )
        return (distances * (targets < teacher.vocab_size)).mean()
