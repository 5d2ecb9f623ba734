"""The start of fine-tuning: known words stay, new words get embeddings and biases."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderKind
from showtell.decoder import RNNDecoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import ModelError
from showtell.training.vocabulary_extension import extended_captioner, init_new_word_embeddings
from tests.training.toy import (
    NEW,
    VOCABULARY,
    WORDS,
    datasets,
    initial_model,
)


@pytest.mark.parametrize("kind", ["topdown", "attention", "pooled"])
def test_known_words_keep_their_ids_and_logits(tiny_encoder: CNNEncoder, kind: DecoderKind) -> None:
    initial = initial_model(tiny_encoder, kind)
    extended = extended_captioner(initial, ["zebra", "dog", "kite"], dropout=0.5)
    assert extended.vocabulary.words == (*VOCABULARY.words, "zebra", "kite")
    assert extended.encoder is initial.encoder
    assert isinstance(extended.decoder, RNNDecoder)
    assert extended.decoder.config.dropout == 0.5
    features, tokens = torch.randn(2, 4, tiny_encoder.feature_dim), torch.tensor([[1], [5]])
    old, new = (
        model.eval().decoder.step(tokens, model.decoder.init_state(features)).logits
        for model in (initial, extended)
    )
    torch.testing.assert_close(new[..., : len(VOCABULARY)], old)


def test_an_ensemble_is_refused(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        initial_model(tiny_encoder).save(tmp_path / name)
    both = Captioner.load_ensemble([str(tmp_path / name) for name in ("a", "b")])
    with pytest.raises(ModelError, match="ensemble"):
        extended_captioner(both, ["zebra"])


@torch.no_grad()
def test_a_new_word_is_expected_as_often_as_it_comes_and_means_what_it_replaces(trained: Captioner) -> None:
    old = trained.decoder
    assert isinstance(old, RNNDecoder)
    before = copy.deepcopy(old.state_dict())
    extended = extended_captioner(trained, [*WORDS, "unused"])
    train = datasets(extended, NEW)[0].subset(range(16))
    init_new_word_embeddings(extended, old, train)
    decoder, vocabulary = extended.decoder, extended.vocabulary
    assert isinstance(decoder, RNNDecoder)
    weight, puppy = decoder.embedding.weight.detach(), vocabulary.id("puppy")
    assert all(torch.equal(old.state_dict()[name], before[name]) for name in before)
    likeness = F.cosine_similarity(weight[puppy], weight[4 : len(VOCABULARY)])
    assert vocabulary.word(4 + int(likeness.argmax())) == "dog"
    assert torch.isfinite(weight).all()
    assert torch.isfinite(decoder.word_bias).all()
    # a new embedding is a mean of the old ones, so its logit is known without the hidden state
    shares = torch.linalg.lstsq(old.embedding.weight.T, weight[puppy]).solution
    # independently, one caption at a time: what the old model expects, were the word among its own
    expected = comes = 0.0
    for image, captions in train:
        for caption in captions:
            state, known = old.init_state(image.float()[None]), caption.clone()
            known[known == puppy] = vocabulary.unk_id
            for token, following in zip(known, caption[1:].tolist(), strict=False):
                out = old.step(token.view(1, 1), state)
                logit = shares @ (out.logits[0, 0] - old.word_bias) + decoder.word_bias[puppy]
                expected += float((logit - out.logits[0, 0].logsumexp(0)).exp())
                comes += following == puppy
                state = out.state
    assert comes > 0
    assert expected == pytest.approx(comes, rel=0.02)
