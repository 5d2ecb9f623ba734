"""Captions from features: number formats, and the mode of the decoder."""

from __future__ import annotations

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.captioning.generate import generate_captions
from showtell.config import SearchConfig
from showtell.errors import ModelError
from showtell.search import Hypothesis


def features_for(captioner: Captioner) -> torch.Tensor:
    shape = (3, captioner.encoder.grid_cells, captioner.encoder.feature_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def generated(captioner: Captioner, features: torch.Tensor) -> list[Hypothesis]:
    """The best caption of each image."""
    parts = captioner.decoder, captioner.vocabulary, features, SearchConfig()
    return [hypotheses[0] for hypotheses in generate_captions(*parts)]


@pytest.mark.parametrize("training", [False, True])
def test_captions_are_those_of_the_captioner_whatever_the_mode(
    tiny_captioner: Captioner, *, training: bool
) -> None:
    features = features_for(tiny_captioner)
    expected = tiny_captioner.eval().generate(features, SearchConfig())
    tiny_captioner.train(training)
    for ours, theirs in zip(generated(tiny_captioner, features), expected, strict=True):
        assert ours.tokens == theirs[0].tokens
        assert ours.token_log_probs == pytest.approx(theirs[0].token_log_probs, abs=1e-4)
    assert tiny_captioner.decoder.training == training


def test_features_in_bf16_are_searched_in_bf16(tiny_captioner: Captioner) -> None:
    low = features_for(tiny_captioner).bfloat16()
    in_bf16, in_fp32 = generated(tiny_captioner, low), generated(tiny_captioner, low.float())
    assert [h.token_log_probs for h in in_bf16] != [h.token_log_probs for h in in_fp32]
    assert [h.score for h in in_bf16] == pytest.approx([h.score for h in in_fp32], rel=0.05)


def test_a_search_that_fails_leaves_the_mode_as_it_was(tiny_captioner: Captioner) -> None:
    tiny_captioner.train()
    with torch.no_grad():
        tiny_captioner.decoder.get_parameter("word_bias").fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        generated(tiny_captioner, features_for(tiny_captioner))
    assert tiny_captioner.decoder.training
