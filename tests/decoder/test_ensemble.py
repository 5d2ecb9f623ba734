"""Several decoders as one, against the mean of their probabilities."""

from __future__ import annotations

import torch

from showtell.config import DecoderKind
from showtell.decoder import EnsembleDecoder, RNNDecoder, SearchState, make_decoder
from tests.conftest import tiny_decoder_config


def decoder_of(kind: DecoderKind, seed: int) -> RNNDecoder:
    torch.manual_seed(seed)
    config = tiny_decoder_config(8, kind=kind)
    return make_decoder(config, vocab_size=11, feature_dim=6, grid_cells=4).eval()


def test_probabilities_are_the_mean_of_the_members() -> None:
    members = [decoder_of("topdown", 1), decoder_of("attention", 2), decoder_of("pooled", 3)]
    ensemble = EnsembleDecoder(members)
    features = torch.randn(3, 4, 6)
    together = ensemble.init_state(features)
    apart: list[SearchState] = [member.init_state(features) for member in members]
    for _ in range(4):
        tokens = torch.randint(4, 11, (3, 1))
        output = ensemble.step(tokens, together)
        outputs = [member.step(tokens, state) for member, state in zip(members, apart, strict=True)]
        mean = torch.stack([one.logits.softmax(dim=-1) for one in outputs]).mean(dim=0)
        torch.testing.assert_close(output.logits.exp(), mean)
        weights = [one.attention for one in outputs if one.attention is not None]
        assert len(weights) == 2
        assert output.attention is not None
        torch.testing.assert_close(output.attention, (weights[0] + weights[1]) / 2)
        together, apart = output.state, [one.state for one in outputs]
    assert ensemble.has_attention
    assert not EnsembleDecoder([members[2]]).has_attention
