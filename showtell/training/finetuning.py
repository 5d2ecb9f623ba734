"""Fine-tuning: cross-entropy with distillation from the initial model, and mixing of weights.

The initial model is retained in two ways: by a distillation loss against its word probabilities (Li & Hoiem
2016, arXiv:1606.09282), and by validating and saving an average of the initial and the trained weights
(Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.config import TrainingConfig
from showtell.data.dataset import CaptionBatch
from showtell.decoder import RNNDecoder
from showtell.training.cross_entropy import CrossEntropy, StepLoss, decoder_features, hidden_states
from showtell.training.distributed import ddp_loss_scale
from showtell.training.losses import soft_cross_entropy
from showtell.training.vocabulary_extension import map_new_words_to_unk


@dataclass(frozen=True)
class Retention:
    """The initial model, and how strongly it is retained.

    Attributes:
        teacher: the initial decoder, which has the first words of the vocabulary; not changed.
        distillation: weight of the distillation loss against its word probabilities.
        mixing: weight of the trained parameters in their average with the initial ones, which is validated
            and saved.
    """

    teacher: RNNDecoder
    distillation: float
    mixing: float


class FineTuning(CrossEntropy):
    """Cross-entropy plus the distillation loss against the initial model.

    Args:
        captioner: the whole model, with the weights that training starts from.
        config: the optimisation.
        caption_weights: (images, captions) the weight of each training caption; None if all weigh 1.
        retention: the initial model, and how strongly it is retained.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        caption_weights: Tensor | None,
        retention: Retention,
    ) -> None:
        super().__init__(captioner, config, caption_weights)
        self.retention, self.teacher = retention, retention.teacher
        self._start = [weight.detach().clone() for weight in self.decoder.parameters()]

    def forward(self, batch: CaptionBatch, step: int) -> StepLoss:  # noqa: ARG002 - see `CrossEntropy`
        """The loss of a batch; what the history shows is its cross-entropy alone."""
        features = decoder_features(self.captioner, batch.images)
        states = hidden_states(self.decoder, features, batch)
        loss, words = self.cross_entropy(batch, states, self.config.label_smoothing)
        total, kept = loss * ddp_loss_scale(words), self.retention.distillation
        if kept:
            distillation_loss = self._distillation_loss(batch, features, *states)
            total = (1 - kept) * total + kept * distillation_loss * ddp_loss_scale(len(states[1]))
        return StepLoss(total, loss.detach(), words)

    def _distillation_loss(
        self, batch: CaptionBatch, features: Tensor, hidden: Tensor, targets: Tensor
    ) -> Tensor:
        """Mean cross-entropy with the initial model's word probabilities; 0 at positions of new words."""
        with torch.no_grad():
            tokens = map_new_words_to_unk(batch.captions, self.teacher)
            before = self.teacher(features, tokens, batch.lengths, batch.image_index)
            probabilities = self.teacher.logits(before).float().softmax(dim=1)
        weight, bias = self.decoder.embedding.weight, self.decoder.word_bias
        losses = soft_cross_entropy(hidden, weight, bias, probabilities)
        return (losses * (targets < self.teacher.vocab_size)).mean()

    @contextmanager
    def validated_weights(self) -> Iterator[None]:
        """Context in which the decoder has the average of the initial and the trained weights."""
        weights = list(self.decoder.parameters())
        trained = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, start in zip(weights, self._start, strict=True):
                weight.copy_(torch.lerp(start.to(weight.device), weight, self.retention.mixing))
        yield
        with torch.no_grad():
            for weight, before in zip(weights, trained, strict=True):
                weight.copy_(before)
