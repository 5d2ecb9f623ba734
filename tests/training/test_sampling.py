"""Captions that are sampled in training: how often, how they end, and the batches they make."""

from __future__ import annotations

import math

import torch

from showtell.training.sampling import MASKED_LOGIT, SampledBatch
from tests.training.random_decoders import SPECIALS, VOCABULARY, decoder_of, sample_from


def test_captions_are_drawn_as_often_as_they_are_likely() -> None:
    decoder, features = decoder_of("topdown"), torch.randn(1, 4, 6)
    torch.manual_seed(0)
    sampled = sample_from(decoder, features, samples=20_000)[0, :, 0]
    state = decoder.init_state(features)
    logits = decoder.step(torch.tensor([[SPECIALS.bos]]), state).logits[0, 0] / 0.7
    logits[list(SPECIALS.banned)] = MASKED_LOGIT
    expected = logits.softmax(0).detach()
    share = torch.bincount(sampled, minlength=len(VOCABULARY)) / len(sampled)
    assert float((share - expected).abs().max()) < 4 * 0.5 / math.sqrt(len(sampled))
    assert float(share[list(SPECIALS.banned)].sum()) == 0


def test_drawn_captions_end_once_and_are_padded() -> None:
    sampled = sample_from(decoder_of("topdown"), torch.randn(8, 4, 6))
    assert sampled.shape[2] <= 6
    for words in sampled.flatten(0, 1).tolist():
        end = words.index(SPECIALS.eos) if SPECIALS.eos in words else len(words)
        assert VOCABULARY.pad_id not in words[:end]
        assert set(words[end + 1 :]) <= {VOCABULARY.pad_id}


def test_a_batch_of_them_holds_each_with_its_start_and_its_image_longest_first() -> None:
    sampled = sample_from(decoder_of("topdown"), torch.randn(8, 4, 6))
    batch = SampledBatch.of(sampled, SPECIALS, torch.device("cpu"))
    assert (batch.lengths.diff() <= 0).all()
    assert sorted(batch.order.tolist()) == list(range(8 * 5))
    for row, (length, image, place) in enumerate(
        zip(batch.lengths.tolist(), batch.image_index.tolist(), batch.order.tolist(), strict=True)
    ):
        assert image == place // 5
        words = [word for word in sampled[image, place % 5].tolist() if word != VOCABULARY.pad_id]
        assert batch.captions[row, :length].tolist() == [SPECIALS.bos, *words]
        assert not batch.captions[row, length:].any()
