"""Self-critical sequence training (Rennie et al. 2017, arXiv:1612.00563): policy gradients with CIDEr-D.

The baseline of a sampled caption is the mean reward of the other samples of its image (Luo 2020,
arXiv:2003.09971). The log-probabilities that are optimised are those of the sampling distribution: no
dropout, the same temperature, the same masked tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count

import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch
from showtell.data.tokenizer import tokenize
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import RNNDecoder, packed_targets
from showtell.decoder.base import Packing
from showtell.evaluation.cider import CiderD
from showtell.search import SpecialTokens
from showtell.training.cross_entropy import CrossEntropy, StepLoss, decoder_features, hidden_states
from showtell.training.distributed import ddp_loss_scale
from showtell.training.losses import linear_cross_entropy
from showtell.training.sampling import CaptionSampler, SampledBatch, mask_banned, without_dropout
from showtell.utils.devices import to_device


class CaptionReward:
    """CIDEr-D of sampled captions against the references, with the end token counted as a word.

    Words outside the vocabulary get ids of their own, which no sampled caption can match.

    Args:
        captions: of each image of the dataset, as written.
        vocabulary: the words.
    """

    def __init__(self, captions: Sequence[Sequence[str]], vocabulary: Vocabulary) -> None:
        rare: defaultdict[str, int] = defaultdict(count(len(vocabulary)).__next__)
        self._end = vocabulary.end_id
        self._pad = vocabulary.pad_id
        self._cider = CiderD(
            [
                [
                    [vocabulary.id(w) if w in vocabulary else rare[w] for w in tokenize(text)] + [self._end]
                    for text in texts
                ]
                for texts in captions
            ]
        )

    def __call__(self, number: Tensor, sampled: Tensor) -> Tensor:
        """Rewards (B, K) in 0..10 of captions (B, K, T), of the images `number` (B,) of the dataset.

        All three are on the CPU.
        """
        images, samples, _ = sampled.shape
        flat = sampled.flatten(0, 1)
        lengths = (flat != self._pad).sum(dim=1)
        scores = self._cider.score(number.repeat_interleave(samples).numpy(), flat.numpy(), lengths.numpy())
        return torch.from_numpy(scores).float().view(images, samples)


def advantages(rewards: Tensor) -> Tensor:
    """Each reward (B, K) less the mean of the others of its image."""
    samples = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * (samples / (samples - 1))


def policy_loss(
    decoder: RNNDecoder,
    features: Tensor,
    sampled: Tensor,
    advantage: Tensor,
    specials: SpecialTokens,
    *,
    temperature: float,
    pad_id: int = 0,
) -> Tensor:
    """Minus the mean over captions of advantage x log-probability: its gradient is the policy gradient.

    Args:
        decoder: its dropout in evaluation mode, as when the captions were sampled.
        features: (B, R, D).
        sampled: (B, K, T), by `sample_captions`, on the CPU.
        advantage: (B, K), on the CPU.
        specials: ids of the special tokens.
        temperature: as when the captions were sampled.
        pad_id: token id after the end of a caption.

    Returns:
        Scalar.
    """
    batch = SampledBatch.of(sampled, specials, features.device, pad_id)
    hidden = decoder(features, batch.captions, batch.lengths, batch.image_index)
    targets = packed_targets(batch.captions, batch.lengths)
    rows = Packing.of(batch.lengths - 1, torch.device("cpu")).sequence
    loss = linear_cross_entropy(
        hidden / temperature,
        decoder.embedding.weight,
        mask_banned(decoder.word_bias, specials) / temperature,
        targets,
        row_weights=to_device(advantage.flatten()[batch.order][rows], features.device),
    )
    return loss * (len(targets) / len(batch.lengths))


class SelfCritical(CrossEntropy):
    """Goes on with a trained decoder: lowers the policy loss, and saves the model of the highest CIDEr.

    Args:
        captioner: the model.
        config: the optimisation.
        caption_weights: (images, captions) the weight of each training caption; None if all weigh 1.
        policy: of self-critical training.
        reward: of the training images.
    """

    stage = "self-critical"
    metric = "reward"
    settings = "self_critical"

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        caption_weights: Tensor | None,
        policy: SelfCriticalConfig,
        reward: CaptionReward,
    ) -> None:
        super().__init__(captioner, config, caption_weights)
        self.policy, self.reward, self.peak_rate = policy, reward, policy.learning_rate
        self.sample = CaptionSampler(
            self.decoder,
            special_tokens(captioner.vocabulary),
            samples=policy.samples,
            max_length=policy.max_length,
            temperature=policy.temperature,
        )

    def forward(self, batch: CaptionBatch, step: int) -> StepLoss:
        """Policy loss of sampled captions, and the cross-entropy of human captions against drifting.

        On a GPU the cross-entropy is computed while the CPU computes the rewards.
        """
        features, policy = decoder_features(self.captioner, batch.images), self.policy
        sampled = self.sample(features, batch.number, (self.config.seed, step))
        guard = None
        if policy.cross_entropy:
            guard, words = self.cross_entropy(batch, hidden_states(self.decoder, features, batch), 0.0)
        rewards = self.reward(batch.number, sampled.wait())
        with without_dropout(self.decoder):
            loss = policy_loss(
                self.decoder,
                features,
                sampled.wait(),
                advantages(rewards),
                special_tokens(self.captioner.vocabulary),
                temperature=policy.temperature,
            )
        loss = loss * ddp_loss_scale(len(features))
        if guard is not None:
            loss = loss + policy.cross_entropy * guard * ddp_loss_scale(words)
        return StepLoss(loss, float(rewards.mean()), rewards.numel())

    def lr_factor(self, step: int, steps: int) -> float:
        """Learning-rate factor: short warm-up, then linear decay to a tenth."""
        return min((step + 1) / 20, 1 - 0.9 * min(1.0, step / steps))

    def monitored(self, metrics: Mapping[str, float]) -> float:
        """The monitored metric: minus the CIDEr; of several datasets, minus their mean."""
        return -metrics["CIDEr"]
