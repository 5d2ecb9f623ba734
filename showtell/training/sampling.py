"""Sampling captions from a decoder while it is trained, as batches that it can be trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from showtell.decoder import RNNDecoder
from showtell.decoder.base import LockedDropout
from showtell.decoder.cuda_graphs import CudaGraphFunction
from showtell.search import SpecialTokens
from showtell.utils.devices import CopyToCPU, to_device

MASKED_LOGIT = -1e4
"""Added to the bias of words that are never generated: their probability is 0 in any number format."""


def random_numbers(seed: tuple[int, ...], number: Tensor, samples: int, length: int) -> Tensor:
    """Random numbers (B, samples, length) in 0..1, on the CPU; an image's depend on the seed and its number.

    So it does not matter which images share a batch, or a process.

    Args:
        seed: of the step.
        number: (B,), of the images in their dataset.
        samples: captions per image.
        length: words per caption.
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
    banned_bias: Tensor,
    *,
    temperature: float,
    pad_id: int = 0,
) -> Tensor:
    """Sample captions from softmax(logits / temperature).

    On a GPU all T words are sampled without asking whether the captions have ended, which would wait for it.

    Args:
        decoder: its dropout in evaluation mode.
        features: (B, R, D).
        specials: ids of the special tokens.
        uniform: (B, K, T) in 0..1, by `random_numbers`: K captions per image, of at most T words; one that
            reaches T has no end.
        banned_bias: (V,) what is added to the logits, by `mask_banned`.
        temperature: what logits are divided by.
        pad_id: token id after the end of a caption.

    Returns:
        (B, K, T') word ids without the start, with the end; T' is at most T.
    """
    images, samples, max_length = uniform.shape
    state = decoder.init_state(features)
    device = features.device
    state = state.select_hypotheses(torch.zeros(images, samples, dtype=torch.long, device=device))
    tokens = torch.full((images, samples), specials.bos, device=device)
    done = torch.zeros_like(tokens, dtype=torch.bool)
    sampled: list[Tensor] = []
    while len(sampled) < max_length and not (device.type == "cpu" and bool(done.all())):
        output = decoder.step(tokens, state)
        state = output.state
        logits = output.logits.float() / temperature + banned_bias  # (B, K, V)
        tokens = _sample_index(logits.softmax(dim=2), uniform[:, :, len(sampled)]).masked_fill_(done, pad_id)
        sampled.append(tokens)
        done = done | (tokens == specials.eos)
    torch.clear_autocast_cache()  # of weights converted without gradients (pytorch#112583)
    return torch.stack(sampled, dim=2)


def mask_banned(bias: Tensor, specials: SpecialTokens) -> Tensor:
    """`bias` (V,) of the words, very low for those that are never sampled."""
    return bias.index_fill(0, to_device(torch.tensor(specials.banned), bias.device), MASKED_LOGIT)


def _sample_index(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """An index (...) of probabilities (..., V): where their running sum passes a random number (...)."""
    sums = probabilities.cumsum(dim=-1)
    threshold = uniform.unsqueeze(-1) * sums[..., -1:]
    return torch.searchsorted(sums, threshold, right=True).squeeze(-1).clamp_(max=sums.shape[-1] - 1)


class CaptionSampler(nn.Module):
    """Samples captions from a decoder, without dropout; on a GPU by a graph for each size of the batch.

    Args:
        decoder: the decoder; no submodule.
        specials: ids of the special tokens.
        samples: captions per image.
        max_length: maximum number of words per caption.
        temperature: what logits are divided by.
    """

    def __init__(
        self,
        decoder: RNNDecoder,
        specials: SpecialTokens,
        *,
        samples: int,
        max_length: int,
        temperature: float,
    ) -> None:
        super().__init__()
        self._decoder = (decoder,)
        self.specials, self.samples, self.max_length = specials, samples, max_length
        self.temperature = temperature
        self._captured: dict[torch.Size, CudaGraphFunction[Tensor]] = {}
        self.banned_bias: Tensor
        banned_bias = mask_banned(torch.zeros(decoder.vocab_size), specials)
        self.register_buffer("banned_bias", banned_bias, persistent=False)

    def forward(self, features: Tensor, number: Tensor, seed: tuple[int, ...]) -> CopyToCPU:
        """Captions (B, K, T) for features (B, R, D) of the images `number` (B,), on their way to the CPU."""
        uniform = random_numbers(seed, number, self.samples, self.max_length)
        with without_dropout(self._decoder[0]):
            return CopyToCPU(self._sample_or_replay(features, to_device(uniform, features.device)))

    def _sample_or_replay(self, features: Tensor, uniform: Tensor) -> Tensor:
        if not features.is_cuda:
            return self._sample(features, uniform)
        if features.shape not in self._captured:
            self._captured[features.shape] = CudaGraphFunction(self._sample_uncached, features, uniform)
        return self._captured[features.shape](features, uniform)

    def _sample(self, features: Tensor, uniform: Tensor) -> Tensor:
        return sample_captions(
            self._decoder[0],
            features,
            self.specials,
            uniform,
            self.banned_bias,
            temperature=self.temperature,
        )

    def _sample_uncached(self, features: Tensor, uniform: Tensor) -> Tensor:
        # Weights are to be converted in the graph: those that autocast keeps are of this step only.
        with torch.autocast("cuda", enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
            return self._sample(features, uniform)


class SampledBatch(NamedTuple):
    """Sampled captions as the forward pass of a decoder takes them: one row each, longest first.

    N captions of at most T tokens.

    Attributes:
        captions: (N, T) token ids with start and end, padded, on the device of the model.
        lengths: (N,) tokens of each caption, on the CPU.
        image_index: (N,) the image of each caption, on the CPU.
        order: (N,) the index of each caption among the sampled ones, B x K.
    """

    captions: Tensor
    lengths: Tensor
    image_index: Tensor
    order: Tensor

    @classmethod
    def of(
        cls, sampled: Tensor, specials: SpecialTokens, device: torch.device, pad_id: int = 0
    ) -> SampledBatch:
        """The batch of captions (B, K, T), by `sample_captions`, which are on the CPU."""
        images, samples, _ = sampled.shape
        flat = sampled.flatten(0, 1)
        tokens = (flat != pad_id).sum(dim=1) + 1  # with the start
        lengths, order = tokens.sort(descending=True, stable=True)
        captions = torch.nn.functional.pad(flat, (1, 0), value=specials.bos)[order]  # (N, 1 + T)
        image_index = (torch.arange(images * samples) // samples)[order]
        return cls(to_device(captions, device), lengths, image_index, order)


@contextmanager
def without_dropout(decoder: torch.nn.Module) -> Iterator[None]:
    """Put the dropout modules in evaluation mode, and these alone.

    Recurrent layers stay in training mode: in evaluation mode cuDNN keeps nothing for the backward pass.
    """
    kinds = (LockedDropout, torch.nn.modules.dropout._DropoutNd)
    active = [module for module in decoder.modules() if isinstance(module, kinds) and module.training]
    for module in active:
        module.eval()
    try:
        yield
    finally:
        for module in active:
            module.train()
