"""The training step of self-critical sequence training (Rennie et al. 2017, arXiv:1612.00563)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader
from showtell.data.records import CaptionedImage
from showtell.decoder.base import LockedDropout
from showtell.decoder.captured import Captured
from showtell.training.module import CaptionModule, share
from showtell.training.self_critical import (
    CaptionReward,
    advantages,
    policy_loss,
    random_numbers,
    sample_captions,
    strike_out,
)
from showtell.utils.devices import CopyToCPU, to_device


class SelfCriticalModule(CaptionModule):
    """Goes on with a trained decoder: its validation is that of `CaptionModule`, its objective is CIDEr.

    Args:
        captioner: the whole model.
        config: the optimisation.
        search: how captions are found in validation.
        val_images: the validation images, in the order of their loader.
        loader: of the training batches.
        policy: of self-critical training.
        reward: of the training images.
    """

    stage = "self-critical"
    train_metric = "reward"

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        search: SearchConfig,
        val_images: Sequence[CaptionedImage],
        loader: CaptionLoader,
        policy: SelfCriticalConfig,
        reward: CaptionReward,
    ) -> None:
        super().__init__(captioner, config, search, val_images, loader)
        self.policy, self.reward = policy, reward
        self._captured: dict[torch.Size, Captured[Tensor]] = {}

    def objective(self, metrics: dict[str, float]) -> float:
        """Minus the CIDEr of the validation images, of several datasets minus the mean of theirs."""
        return -metrics["CIDEr"]

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
        """Policy loss of drawn captions, and the cross-entropy of people's as a guard against drifting.

        On a GPU the cross-entropy is computed while the CPU computes the rewards.
        """
        features = self.captioner.features(batch.images)
        specials = special_tokens(self.captioner.vocabulary)
        policy = self.policy
        uniform = random_numbers(
            (self.config.seed, self.global_step), batch.number, policy.samples, policy.max_length
        )
        with _without_dropout(self.decoder):
            drawn = CopyToCPU(self._draw(features, to_device(uniform, features.device)))
        guard, words = self._guard(batch)
        rewards = self.reward(batch.number, drawn.wait())
        with _without_dropout(self.decoder):
            loss = policy_loss(
                self.decoder,
                features,
                drawn.wait(),
                advantages(rewards),
                specials,
                temperature=policy.temperature,
            )
        self.train_loss.add(float(rewards.mean()), rewards.numel())
        loss = loss * share(len(features))
        return loss if guard is None else loss + policy.cross_entropy * guard * share(words)

    def _draw(self, features: Tensor, uniform: Tensor) -> Tensor:
        """Captions (B, K, T) drawn for features (B, R, D); on a GPU by a graph for each size of the batch."""
        if features.shape in self._captured:
            return self._captured[features.shape](features, uniform)
        specials = special_tokens(self.captioner.vocabulary)
        struck_out = strike_out(torch.zeros(self.decoder.vocab_size, device=features.device), specials)

        def draw(features: Tensor, uniform: Tensor) -> Tensor:
            return sample_captions(
                self.decoder, features, specials, uniform, struck_out, temperature=self.policy.temperature
            )

        def draw_uncached(features: Tensor, uniform: Tensor) -> Tensor:
            # Weights are to be converted in the graph: those that autocast keeps are of this step only.
            with torch.autocast("cuda", enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
                return draw(features, uniform)

        if not features.is_cuda:
            return draw(features, uniform)
        self._captured[features.shape] = Captured(draw_uncached, features, uniform)
        return self._captured[features.shape](features, uniform)

    def _guard(self, batch: CaptionBatch) -> tuple[Tensor | None, float]:
        """The cross-entropy of the captions of the batch, if it has a share in the loss, and its words."""
        if not self.policy.cross_entropy:
            return None, 0.0
        return self.loss(batch, 0.0, self.caption_weights(batch))

    def configure_optimizers(self) -> Any:
        """AdamW; after a short rise the rate falls linearly to a tenth."""
        total = int(self.trainer.estimated_stepping_batches)
        return self._adamw(
            self.policy.learning_rate, lambda step: min((step + 1) / 20, 1 - 0.9 * min(1.0, step / total))
        )


@contextmanager
def _without_dropout(decoder: torch.nn.Module) -> Iterator[None]:
    """Put the dropout modules in evaluation mode, and these alone.

    Recurrent layers stay in training mode: in evaluation mode cuDNN keeps nothing for the backward pass.
    """
    active = [module for module in decoder.modules() if isinstance(module, LockedDropout) and module.training]
    for module in active:
        module.eval()
    try:
        yield
    finally:
        for module in active:
            module.train()
