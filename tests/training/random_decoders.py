"""Decoders of random weights, and captions that they sample."""

from __future__ import annotations

import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.config import DecoderKind
from showtell.data.vocabulary import build_vocab
from showtell.decoder import RNNDecoder, make_decoder
from showtell.training.sampling import mask_banned, sample_captions
from tests.conftest import tiny_decoder_config

CAPTIONS = [
    ["a dog runs", "a brown dog runs here", "the dog is outside"],
    ["a cat sits", "the cat sits on a mat"],
    ["a boy jumps", "a boy jumps over a zebra"],
]
VOCABULARY = build_vocab([c for texts in CAPTIONS for c in texts if "zebra" not in c], 1)
SPECIALS = special_tokens(VOCABULARY)


def decoder_of(kind: DecoderKind) -> RNNDecoder:
    torch.manual_seed(3)
    config = tiny_decoder_config(8, kind=kind, dropout=0.5)
    decoder = make_decoder(config, vocab_size=len(VOCABULARY), feature_dim=6, grid_cells=4)
    torch.nn.init.normal_(decoder.word_bias)
    return decoder.eval()


def sample_from(decoder: RNNDecoder, features: Tensor, samples: int = 5, temperature: float = 0.7) -> Tensor:
    uniform = torch.rand(len(features), samples, 6)
    banned_bias = mask_banned(torch.zeros(decoder.vocab_size), SPECIALS)
    return sample_captions(decoder, features, SPECIALS, uniform, banned_bias, temperature=temperature)
