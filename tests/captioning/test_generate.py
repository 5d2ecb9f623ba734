"""Captions from features: number formats, and the mode of the decoder."""

from __future__ import annotations

import copy

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.captioning.generate import generate_captions
from showtell.config import SearchConfig
from showtell.errors import ModelError
from showtell.search import Hypothesis


@pytest.fixture
def captioner(tiny_captioner: Captioner) -> Captioner:
    """A copy, which tests may change: `tiny_captioner` is shared by all."""
    return copy.deepcopy(tiny_captioner)


def features_for(captioner: Captioner) -> torch.Tensor:
    shape = (3, captioner.encoder.grid_cells, captioner.encoder.feature_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def generated(captioner: Captioner, features: torch.Tensor) -> list[Hypothesis]:
    """The best caption of each image."""
    parts = captioner.decoder, captioner.vocabulary, features, SearchConfig()
    return [hypotheses[0] for hypotheses in generate_captions(*parts)]


@pytest.mark.parametrize("training", [False, True])
def test_captions_are_those_of_the_captioner_whatever_the_mode(
    captioner: Captioner, *, training: bool
) -> None:
    features = features_for(captioner)
    expected = captioner.eval().generate(features, SearchConfig())
    captioner.train(training)
    for ours, theirs in zip(generated(captioner, features), expected, strict=True):
        assert ours.tokens == theirs[0].tokens
        assert ours.token_log_probs == pytest.approx(theirs[0].token_log_probs, abs=1e-4)
    assert captioner.decoder.training == training


def test_features_in_bf16_are_searched_in_bf16(captioner: Captioner) -> None:
    low = features_for(captioner).bfloat16()
    in_bf16, in_fp32 = generated(captioner, low), generated(captioner, low.float())
    assert [h.token_log_probs for h in in_bf16] != [h.token_log_probs for h in in_fp32]
    assert [h.score for h in in_bf16] == pytest.approx([h.score for h in in_fp32], rel=0.05)


def test_a_search_that_fails_leaves_the_mode_as_it_was(captioner: Captioner) -> None:
    captioner.train()
    with torch.no_grad():
        captioner.decoder.get_parameter("word_bias").fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        generated(captioner, features_for(captioner))
    assert captioner.decoder.training
