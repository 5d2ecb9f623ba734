"""The decoder arranged for searches, against the decoder as it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import DecoderConfig, SearchConfig
from showtell.decoder import (
    EnsembleDecoder,
    RNNDecoder,
    StepDecoder,
    as_search_step,
    for_search,
    make_decoder,
)
from showtell.decoder.fused import FusedTopDown, PackedLinear
from showtell.decoder.state import SearchState, StepOutput
from showtell.decoder.topdown import TopDownDecoder
from showtell.search import Hypothesis, SpecialTokens, search

VOCABULARY, CELLS, FEATURES = 90, 6, 10
SPECIALS = SpecialTokens(1, 2, (0, 1, 3))


def decoder_of(seed: int = 0, **config: Any) -> RNNDecoder:
    torch.manual_seed(seed)
    sizes = {"embedding_dim": 12, "hidden_dim": 16, "attention_dim": 8, "attention_heads": 2}
    settings_ = DecoderConfig(**(sizes | config))
    decoder = make_decoder(settings_, vocab_size=VOCABULARY, feature_dim=FEATURES, grid_cells=CELLS).eval()
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if "norm" not in name:
                parameter.mul_(3)  # captions of random features differ then
        decoder.word_bias[2] += 4
    return decoder


def captions_of(decoder: StepDecoder, features: Tensor, config: SearchConfig) -> list[list[Hypothesis]]:
    """By `showtell.search`."""
    with torch.inference_mode():
        step = as_search_step(decoder.step, SPECIALS.eos)
        return search(step, decoder.init_state(features), SPECIALS, config, attention=True)


@pytest.mark.parametrize("tabulate", [True, False])
def test_its_steps_are_those_of_the_decoder(tabulate: bool) -> None:
    decoder = decoder_of()
    fused = for_search(decoder, tabulate=tabulate)
    assert isinstance(fused, FusedTopDown)
    features, tokens = torch.randn(3, CELLS, FEATURES), torch.tensor([[1], [1], [1]])
    parents = np.array([[0, 0], [0, 0], [0, 0]])
    with torch.inference_mode():
        states = [one.init_state(features) for one in (decoder, fused)]
        for _ in range(4):
            outputs = [one.step(tokens, state) for one, state in zip((decoder, fused), states, strict=True)]
            torch.testing.assert_close(outputs[1].logits, outputs[0].logits, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(outputs[1].attention, outputs[0].attention, rtol=1e-4, atol=1e-5)
            states = [output.state.select_hypotheses(parents) for output in outputs]
            tokens, parents = torch.randint(4, VOCABULARY, (3, 2)), np.array([[1, 0], [1, 1], [0, 0]])


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_of_random_features_are_the_same(beams: int) -> None:
    decoder, features = decoder_of(5), torch.randn(200, CELLS, FEATURES) * 3
    config = SearchConfig(beam_size=beams, max_length=8)
    expected, results = (captions_of(one, features, config) for one in (decoder, for_search(decoder)))
    for one, other in zip(results, expected, strict=True):
        assert one[0].tokens == other[0].tokens
        assert one[0].score == pytest.approx(other[0].score, abs=1e-4)
    assert len({hypotheses[0].tokens for hypotheses in results}) > 40


def test_others_are_searched_as_they_are() -> None:
    for decoder in (decoder_of(kind="pooled"), decoder_of(cell="gru")):
        assert for_search(decoder) is decoder


def test_the_members_of_an_ensemble_are_fused() -> None:
    ensemble = EnsembleDecoder([decoder_of(1), decoder_of(2, kind="pooled")]).eval()
    fused = for_search(ensemble)
    assert isinstance(fused, EnsembleDecoder)
    assert [type(member).__name__ for member in fused.members] == ["FusedTopDown", "PooledDecoder"]
    features = torch.randn(20, CELLS, FEATURES) * 3
    expected, results = (captions_of(one, features, SearchConfig()) for one in (ensemble, fused))
    assert [one[0].tokens for one in results] == [one[0].tokens for one in expected]


@pytest.mark.parametrize("rows", [1, 48, 200])
def test_packed_products_in_bf16_are_those_of_linear(rows: int) -> None:
    torch.manual_seed(rows)
    weight, bias, inputs = (torch.randn(*shape).bfloat16() for shape in ((70, 64), (70,), (2, rows, 64)))
    with torch.inference_mode():
        results = PackedLinear(weight, bias)(inputs)
    expected = nn.functional.linear(inputs.float(), weight.float(), bias.float())
    torch.testing.assert_close(results.float(), expected, rtol=2e-2, atol=2e-2)


def test_a_model_searches_anew_when_its_weights_change(tiny_captioner: Captioner) -> None:
    features = torch.randn(2, tiny_captioner.encoder.grid_cells, tiny_captioner.encoder.feature_dim)
    config, decoder = SearchConfig(max_length=5, min_length=2), tiny_captioner.decoder
    before = tiny_captioner.generate(features, config)
    bias = next(parameter for name, parameter in decoder.named_parameters() if name == "word_bias")
    with torch.no_grad():
        own = bias[4].clone()
        bias[4] += 50
        after = tiny_captioner.generate(features, config)
        bias[4] = own  # other tests compare the weights
    assert after[0][0].tokens[0] == 4
    assert tiny_captioner.generate(features, config)[0][0].tokens == before[0][0].tokens


def test_captions_of_photos_are_those_of_the_plain_decoder(shared_data: Path) -> None:
    captioner = Captioner.load("everyday", device="cpu")
    paths = sorted((shared_data / "flickr8k" / "Images").glob("*.jpg"))[:400:50]
    features = captioner.encode_pixels([captioner.transform.pixels(path) for path in paths]).float()
    decoder, specials = captioner.decoder, special_tokens(captioner.vocabulary)
    with torch.inference_mode():
        step = as_search_step(decoder.step, specials.eos)
        expected = search(step, decoder.init_state(features), specials, SearchConfig())
    results = captioner.generate(features, SearchConfig())
    assert [one[0].tokens for one in results] == [one[0].tokens for one in expected]


class Other(TopDownDecoder):
    """A decoder of somebody's own, whose words depend on the image more."""

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        output = super().step(tokens, state)
        return StepOutput(2 * output.logits, output.state, output.attention)


def test_a_subclass_is_searched_with_its_own_steps() -> None:
    decoder = Other(VOCABULARY, FEATURES, CELLS, decoder_of().config)
    assert for_search(decoder) is decoder
