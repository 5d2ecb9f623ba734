"""Self-critical training, against slow and obvious ways to say the same."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.config import DecoderKind
from showtell.data.vocabulary import build_vocab
from showtell.decoder import RNNDecoder, make_decoder
from showtell.training.self_critical import (
    MASKED_LOGIT,
    CaptionReward,
    advantages,
    policy_loss,
    sample_captions,
    strike_out,
)
from tests.conftest import tiny_decoder_config

CAPTIONS = [
    ["a dog runs", "a brown dog runs here", "the dog is outside"],
    ["a cat sits", "the cat sits on a mat"],
    ["a boy jumps", "a boy jumps over a zebra"],
]
VOCABULARY = build_vocab([c for texts in CAPTIONS for c in texts if "zebra" not in c], 1)
SPECIALS = special_tokens(VOCABULARY)
KINDS: list[DecoderKind] = ["topdown", "attention", "pooled"]


def decoder_of(kind: DecoderKind) -> RNNDecoder:
    torch.manual_seed(3)
    config = tiny_decoder_config(8, kind=kind, dropout=0.5)
    decoder = make_decoder(config, vocab_size=len(VOCABULARY), feature_dim=6, grid_cells=4)
    torch.nn.init.normal_(decoder.word_bias)
    return decoder.eval()


def draw(decoder: RNNDecoder, features: Tensor, samples: int = 5, temperature: float = 0.7) -> Tensor:
    uniform = torch.rand(len(features), samples, 6)
    struck_out = strike_out(torch.zeros(decoder.vocab_size), SPECIALS)
    return sample_captions(decoder, features, SPECIALS, uniform, struck_out, temperature=temperature)


def step_by_step(decoder: RNNDecoder, features: Tensor, words: list[int], temperature: float) -> Tensor:
    """Log-probability of a caption, one word after the other."""
    state = decoder.init_state(features)
    total = torch.zeros(())
    for before, after in itertools.pairwise([SPECIALS.start, *words]):
        output = decoder.step(torch.tensor([[before]]), state)
        state = output.state
        logits = output.logits[0, 0].float()
        allowed = torch.ones(len(logits), dtype=torch.bool)
        allowed[list(SPECIALS.never)] = False
        total = total + (logits / temperature).masked_fill(~allowed, -math.inf).log_softmax(0)[after]
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_policy_loss_is_that_of_the_drawn_distribution(kind: DecoderKind, temperature: float) -> None:
    decoder, features = decoder_of(kind), torch.randn(3, 4, 6)
    drawn = draw(decoder, features, 4, temperature)
    advantage = torch.randn(3, 4)
    loss = policy_loss(decoder, features, drawn, advantage, SPECIALS, temperature=temperature)
    expected = torch.zeros(())
    for image, sample in itertools.product(range(3), range(4)):
        words = [word for word in drawn[image, sample].tolist() if word != VOCABULARY.pad_id]
        log_probability = step_by_step(decoder, features[image : image + 1], words, temperature)
        expected = expected - advantage[image, sample] * log_probability / 12
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    weights = [weight for weight in decoder.parameters() if weight.requires_grad]
    ours, theirs = (torch.autograd.grad(x, weights, allow_unused=True) for x in (loss, expected))
    for mine, other in zip(ours, theirs, strict=True):
        if other is not None:
            assert mine is not None
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_captions_are_drawn_as_often_as_they_are_likely() -> None:
    decoder, features = decoder_of("topdown"), torch.randn(1, 4, 6)
    torch.manual_seed(0)
    drawn = draw(decoder, features, samples=20_000)[0, :, 0]
    state = decoder.init_state(features)
    logits = decoder.step(torch.tensor([[SPECIALS.start]]), state).logits[0, 0] / 0.7
    logits[list(SPECIALS.never)] = MASKED_LOGIT
    expected = logits.softmax(0).detach()
    share = torch.bincount(drawn, minlength=len(VOCABULARY)) / len(drawn)
    assert float((share - expected).abs().max()) < 4 * 0.5 / math.sqrt(len(drawn))
    assert float(share[list(SPECIALS.never)].sum()) == 0


def test_drawn_captions_end_once_and_are_padded() -> None:
    drawn = draw(decoder_of("topdown"), torch.randn(8, 4, 6))
    assert drawn.shape[2] <= 6
    for words in drawn.flatten(0, 1).tolist():
        end = words.index(SPECIALS.end) if SPECIALS.end in words else len(words)
        assert VOCABULARY.pad_id not in words[:end]
        assert set(words[end + 1 :]) <= {VOCABULARY.pad_id}


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
    drawn = padded([[text.replace("<end>", "").strip() for text in texts] for texts in candidates])
    drawn = torch.nn.functional.pad(drawn, (0, 1))
    for image, sample in itertools.product(range(3), range(2)):
        if candidates[image][sample].endswith("<end>"):
            drawn[image, sample, int((drawn[image, sample] != 0).sum())] = VOCABULARY.end_id
    rewards = CaptionReward(CAPTIONS, VOCABULARY)(torch.arange(3), drawn)
    references = {i: [f"{text} <end>" for text in texts] for i, texts in enumerate(CAPTIONS)}
    for sample in range(2):
        _, expected = reference.compute_score(references, {i: [candidates[i][sample]] for i in range(3)})
        np.testing.assert_allclose(rewards[:, sample].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_word_that_cannot_be_said_is_not_rewarded() -> None:
    reward = CaptionReward(CAPTIONS, VOCABULARY)
    drawn = torch.tensor([[[VOCABULARY.unk_id, VOCABULARY.end_id], [VOCABULARY.end_id, 0]]])
    unknown, empty = reward(torch.tensor([2]), drawn)[0].tolist()
    assert unknown <= empty
