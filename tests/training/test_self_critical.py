"""Self-critical training, against slow and obvious ways to say the same."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from showtell.config import DecoderKind
from showtell.decoder import RNNDecoder
from showtell.training.self_critical import CaptionReward, advantages, policy_loss
from tests.training.random_decoders import CAPTIONS, SPECIALS, VOCABULARY, decoder_of, sample_from

KINDS: list[DecoderKind] = ["topdown", "attention", "pooled"]


def step_by_step(decoder: RNNDecoder, features: Tensor, words: list[int], temperature: float) -> Tensor:
    """Log-probability of a caption, one word after the other."""
    state = decoder.init_state(features)
    total = torch.zeros(())
    for before, after in itertools.pairwise([SPECIALS.bos, *words]):
        output = decoder.step(torch.tensor([[before]]), state)
        state = output.state
        logits = output.logits[0, 0].float()
        allowed = torch.ones(len(logits), dtype=torch.bool)
        allowed[list(SPECIALS.banned)] = False
        total = total + (logits / temperature).masked_fill(~allowed, -math.inf).log_softmax(0)[after]
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_policy_loss_is_that_of_the_drawn_distribution(kind: DecoderKind, temperature: float) -> None:
    decoder, features = decoder_of(kind), torch.randn(3, 4, 6)
    sampled = sample_from(decoder, features, 4, temperature)
    advantage = torch.randn(3, 4)
    loss = policy_loss(decoder, features, sampled, advantage, SPECIALS, temperature=temperature)
    expected = torch.zeros(())
    for image, sample in itertools.product(range(3), range(4)):
        words = [word for word in sampled[image, sample].tolist() if word != VOCABULARY.pad_id]
        log_probability = step_by_step(decoder, features[image : image + 1], words, temperature)
        expected = expected - advantage[image, sample] * log_probability / 12
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    weights = [weight for weight in decoder.parameters() if weight.requires_grad]
    ours, theirs = (torch.autograd.grad(x, weights, allow_unused=True) for x in (loss, expected))
    for mine, other in zip(ours, theirs, strict=True):
        if other is not None:
            assert mine is not None
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_advantage_is_the_reward_less_the_mean_of_the_others() -> None:
    rewards = torch.rand(4, 5)
    for image, sample in itertools.product(range(4), range(5)):
        others = [float(rewards[image, k]) for k in range(5) if k != sample]
        expected = float(rewards[image, sample]) - sum(others) / 4
        assert float(advantages(rewards)[image, sample]) == pytest.approx(expected, abs=1e-6)


def padded(texts: list[list[str]]) -> Tensor:
    rows = [[[*map(VOCABULARY.id, text.split())] for text in several] for several in texts]
    longest = max(len(row) for several in rows for row in several)
    return torch.tensor([[row + [0] * (longest - len(row)) for row in several] for several in rows])


def test_reward_is_the_reference_cider_with_ends_as_words() -> None:
    reference = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    candidates = [
        ["a dog runs <end>", "dog <end>"],
        ["the cat sits <end>", "a mat on"],
        ["a boy <end>", "a <end>"],
    ]
    sampled = padded([[text.replace("<end>", "").strip() for text in texts] for texts in candidates])
    sampled = torch.nn.functional.pad(sampled, (0, 1))
    for image, sample in itertools.product(range(3), range(2)):
        if candidates[image][sample].endswith("<end>"):
            sampled[image, sample, int((sampled[image, sample] != 0).sum())] = VOCABULARY.end_id
    rewards = CaptionReward(CAPTIONS, VOCABULARY)(torch.arange(3), sampled)
    references = {i: [f"{text} <end>" for text in texts] for i, texts in enumerate(CAPTIONS)}
    for sample in range(2):
        _, expected = reference.compute_score(references, {i: [candidates[i][sample]] for i in range(3)})
        np.testing.assert_allclose(rewards[:, sample].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_word_that_cannot_be_said_is_not_rewarded() -> None:
    reward = CaptionReward(CAPTIONS, VOCABULARY)
    sampled = torch.tensor([[[VOCABULARY.unk_id, VOCABULARY.end_id], [VOCABULARY.end_id, 0]]])
    unknown, empty = reward(torch.tensor([2]), sampled)[0].tolist()
    assert unknown <= empty
