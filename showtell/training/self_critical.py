"""Self-critical sequence training (Rennie et al. 2017, arXiv:1612.00563): draw captions, reward the better.

The baseline of a drawn caption is the mean reward of the others of its image (Luo 2020, arXiv:2003.09971).
Captions are drawn from the very distribution whose log-probabilities are then raised or lowered: no dropout,
the same temperature, the same words struck out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch
from showtell.data.tokenizer import tokenize
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import RNNDecoder, packed_targets
from showtell.decoder.base import LockedDropout, Packing
from showtell.decoder.captured import Captured
from showtell.evaluation.cider import CiderD
from showtell.search import SpecialTokens
from showtell.training.cross_entropy import CrossEntropy, StepLoss, hidden_states
from showtell.training.distributed import ddp_loss_scale
from showtell.training.losses import linear_cross_entropy
from showtell.utils.devices import CopyToCPU, to_device

MASKED_LOGIT = -1e4
"""Added to the bias of words that are never generated: their probability is 0 in any number format."""


def random_numbers(seed: tuple[int, ...], number: Tensor, samples: int, length: int) -> Tensor:
    """Random numbers (B, samples, length) in 0..1, on the CPU; an image's depend on the seed and its number.

    So it does not matter which images share a batch, or a process.

    Args:
        seed: of the step.
        number: (B,), of the images in their dataset.
        samples: captions an image.
        length: words a caption.
    """
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    count = samples * length
    counter = number.numpy()[:, None] * count + np.arange(count)  # (B, K T)
    values = _mixed(counter.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key[0])
    # The 24 bits that fp32 holds: never 1.
    return torch.from_numpy((values >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).view(
        -1, samples, length
    )


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@torch.no_grad()
def sample_captions(
    decoder: RNNDecoder,
    features: Tensor,
    specials: SpecialTokens,
    uniform: Tensor,
    struck_out: Tensor,
    *,
    temperature: float,
    pad_id: int = 0,
) -> Tensor:
    """Draw captions from softmax(logits / temperature).

    On a GPU all T words are drawn without asking whether the captions have ended, which would wait for it.

    Args:
        decoder: its dropout in evaluation mode.
        features: (B, R, D).
        specials: ids of the special tokens.
        uniform: (B, K, T) in 0..1, by `random_numbers`: K captions an image, of T words at most; one that
            reaches T has no end.
        struck_out: (V,) what is added to the logits, by `strike_out`.
        temperature: what logits are divided by.
        pad_id: what follows a caption's end.

    Returns:
        (B, K, T') word ids without the start, with the end; T' is at most T.
    """
    images, samples, max_length = uniform.shape
    state = decoder.init_state(features)
    device = features.device
    state = state.select_hypotheses(torch.zeros(images, samples, dtype=torch.long, device=device))
    tokens = torch.full((images, samples), specials.start, device=device)
    done = torch.zeros_like(tokens, dtype=torch.bool)
    drawn: list[Tensor] = []
    while len(drawn) < max_length and not (device.type == "cpu" and bool(done.all())):
        output = decoder.step(tokens, state)
        state = output.state
        logits = output.logits.float() / temperature + struck_out  # (B, K, V)
        tokens = _draw(logits.softmax(dim=2), uniform[:, :, len(drawn)]).masked_fill_(done, pad_id)
        drawn.append(tokens)
        done = done | (tokens == specials.end)
    return torch.stack(drawn, dim=2)


def strike_out(bias: Tensor, specials: SpecialTokens) -> Tensor:
    """`bias` (V,) of the words, very low for those that are never drawn."""
    return bias.index_fill(0, to_device(torch.tensor(specials.never), bias.device), MASKED_LOGIT)


def _draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """An index (...) of probabilities (..., V): where their running sum passes a random number (...)."""
    sums = probabilities.cumsum(dim=-1)
    threshold = uniform.unsqueeze(-1) * sums[..., -1:]
    return torch.searchsorted(sums, threshold, right=True).squeeze(-1).clamp_(max=sums.shape[-1] - 1)


class CaptionReward:
    """CIDEr-D of drawn captions against the captions of people, the end counted as a word.

    Words that the vocabulary lacks keep numbers of their own: nothing the model says is equal to them.

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

    def __call__(self, number: Tensor, drawn: Tensor) -> Tensor:
        """Rewards (B, K) in 0..10 of captions (B, K, T), of the images `number` (B,) of the dataset.

        All three are on the CPU.
        """
        images, samples, _ = drawn.shape
        flat = drawn.flatten(0, 1)
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
    drawn: Tensor,
    advantage: Tensor,
    specials: SpecialTokens,
    *,
    temperature: float,
    pad_id: int = 0,
) -> Tensor:
    """Minus the mean over captions of advantage x log-probability: its gradient is the policy gradient.

    Args:
        decoder: its dropout in evaluation mode, as when the captions were drawn.
        features: (B, R, D).
        drawn: (B, K, T), by `sample_captions`, on the CPU.
        advantage: (B, K), on the CPU.
        specials: ids of the special tokens.
        temperature: as when the captions were drawn.
        pad_id: what follows a caption's end.

    Returns:
        Scalar.
    """
    images, samples, _ = drawn.shape
    device, flat = features.device, drawn.flatten(0, 1)
    lengths, order = ((flat != pad_id).sum(dim=1) + 1).sort(descending=True, stable=True)  # with the start
    captions = torch.nn.functional.pad(flat, (1, 0), value=specials.start)[order]  # (N, 1 + T)
    image_index = (torch.arange(images * samples) // samples)[order]
    captions = to_device(captions, device)
    hidden = decoder(features, captions, lengths, image_index)
    targets = packed_targets(captions, lengths)
    rows = Packing.of(lengths - 1, torch.device("cpu")).sequence
    loss = linear_cross_entropy(
        hidden / temperature,
        decoder.embedding.weight,
        strike_out(decoder.word_bias, specials) / temperature,
        targets,
        row_weights=to_device(advantage.flatten()[order][rows], device),
    )
    return loss * (len(targets) / len(flat))


class SelfCritical(CrossEntropy):
    """Goes on with a trained decoder: lowers the policy loss, and saves the model of the highest CIDEr.

    Args:
        captioner: the model.
        config: the optimisation.
        caption_weights: (images, captions) the weight of each training caption; None where all weigh 1.
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
        self._captured: dict[torch.Size, Captured[Tensor]] = {}
        self.struck_out: Tensor
        struck_out = strike_out(torch.zeros(self.decoder.vocab_size), special_tokens(captioner.vocabulary))
        self.register_buffer("struck_out", struck_out, persistent=False)

    def forward(self, batch: CaptionBatch, step: int) -> StepLoss:
        """Policy loss of drawn captions, and the cross-entropy of people's as a guard against drifting.

        On a GPU the cross-entropy is computed while the CPU computes the rewards.
        """
        features, policy = self.captioner.features(batch.images), self.policy
        seed = self.config.seed, step
        uniform = random_numbers(seed, batch.number, policy.samples, policy.max_length)
        with _without_dropout(self.decoder):
            drawn = CopyToCPU(self._draw(features, to_device(uniform, features.device)))
        guard = None
        if policy.cross_entropy:
            guard, words = self.cross_entropy(batch, hidden_states(self.captioner, batch), 0.0)
        rewards = self.reward(batch.number, drawn.wait())
        with _without_dropout(self.decoder):
            loss = policy_loss(
                self.decoder,
                features,
                drawn.wait(),
                advantages(rewards),
                special_tokens(self.captioner.vocabulary),
                temperature=policy.temperature,
            )
        loss = loss * ddp_loss_scale(len(features))
        if guard is not None:
            loss = loss + policy.cross_entropy * guard * ddp_loss_scale(words)
        return StepLoss(loss, float(rewards.mean()), rewards.numel())

    def rate_factor(self, step: int, steps: int) -> float:
        """Of the learning rate: after a short rise it falls linearly to a tenth."""
        return min((step + 1) / 20, 1 - 0.9 * min(1.0, step / steps))

    def monitored(self, metrics: Mapping[str, float]) -> float:
        """The monitored metric: minus the CIDEr; of several datasets, minus their mean."""
        return -metrics["CIDEr"]

    def _draw(self, features: Tensor, uniform: Tensor) -> Tensor:
        """Captions (B, K, T) drawn for features (B, R, D); on a GPU by a graph for each size of the batch."""
        if not features.is_cuda:
            return self._sample(features, uniform)
        if features.shape not in self._captured:
            self._captured[features.shape] = Captured(self._sample_uncached, features, uniform)
        return self._captured[features.shape](features, uniform)

    def _sample(self, features: Tensor, uniform: Tensor) -> Tensor:
        specials, temperature = special_tokens(self.captioner.vocabulary), self.policy.temperature
        return sample_captions(
            self.decoder, features, specials, uniform, self.struck_out, temperature=temperature
        )

    def _sample_uncached(self, features: Tensor, uniform: Tensor) -> Tensor:
        # Weights are to be converted in the graph: those that autocast keeps are of this step only.
        with torch.autocast("cuda", enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
            return self._sample(features, uniform)


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
