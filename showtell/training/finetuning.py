"""What a step of fine-tuning does: new captions are learned, and what the initial model knew is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from showtell.captioner import Captioner
from showtell.config import SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader
from showtell.data.records import CaptionedImage
from showtell.decoder import RNNDecoder
from showtell.training.initial import known_tokens
from showtell.training.losses import soft_cross_entropy
from showtell.training.module import CaptionModule, share


@dataclass(frozen=True)
class Distillation:
    """What is kept of the initial model (learning without forgetting: Li & Hoiem 2016, arXiv:1606.09282).

    Attributes:
        teacher: the initial decoder, of the first words of the vocabulary; not changed.
        share: of the loss that compares with its word probabilities.
    """

    teacher: RNNDecoder
    share: float


class FineTuningModule(CaptionModule):
    """Cross-entropy, and beside it the distance from the initial model's word probabilities.

    Args:
        captioner: the whole model.
        config: the optimisation.
        search: how captions are found in validation.
        val_images: the validation images, in the order of their loader.
        loader: of the training batches.
        distillation: what is kept of the initial model.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        search: SearchConfig,
        val_images: Sequence[CaptionedImage],
        loader: CaptionLoader,
        distillation: Distillation,
    ) -> None:
        super().__init__(captioner, config, search, val_images, loader)
        self._distillation = (distillation,)  # in a tuple: not a submodule, so it stays out of checkpoints

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
        """Loss of a batch, with label smoothing, and the distance from the initial model."""
        hidden, targets = self.hidden_states(batch)
        loss, words = self.loss_of(
            batch, hidden, targets, self.config.label_smoothing, self.caption_weights(batch)
        )
        self.train_loss.add(float(loss.detach()), words)
        kept = self._distillation[0].share
        distance = self._distance(batch, hidden, targets)
        return (1 - kept) * loss * share(words) + kept * distance * share(len(targets))

    def _distance(self, batch: CaptionBatch, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy with the initial model's word probabilities; 0 where the next word is new."""
        teacher = self._distillation[0].teacher
        with torch.no_grad():
            tokens = known_tokens(batch.captions, teacher)
            features = self.captioner.features(batch.images)
            before = teacher(features, tokens, batch.lengths.cpu(), batch.image_index)
            probabilities = teacher.logits(before).float().softmax(dim=1)
        distances = soft_cross_entropy(
            hidden, self.decoder.embedding.weight, self.decoder.word_bias, probabilities
        )
        return (distances * (targets < teacher.vocab_size)).mean()
