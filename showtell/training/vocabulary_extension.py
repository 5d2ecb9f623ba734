"""The start of fine-tuning: an initial model that is given the new words of other captions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.data.dataset import CaptionDataset, CaptionLoader
from showtell.data.vocabulary import SPECIALS, Vocabulary
from showtell.decoder import RNNDecoder, make_decoder, packed_targets, single_decoder
from showtell.errors import ModelError

_OF_WORDS = ("embedding.weight", "word_bias")
"""Parameters with a row for each word."""
_BATCH = 32


def extended_captioner(initial: Captioner, words: Iterable[str], dropout: float | None = None) -> Captioner:
    """A copy of a model that also has new words; `init_new_word_embeddings` is to set their embeddings.

    Args:
        initial: not changed; its encoder is shared.
        words: those that it does not know are appended to its vocabulary, so its own keep their ids.
        dropout: of the copy; None for that of `initial`.

    Raises:
        ModelError: `initial` is an ensemble.
    """
    old = initial.decoder
    if not isinstance(old, RNNDecoder):
        raise ModelError("an ensemble cannot be trained on: name one of its members")
    vocabulary = initial.vocabulary.extended(words)
    config = old.config if dropout is None else replace(old.config, dropout=dropout)
    decoder = make_decoder(
        config, vocab_size=len(vocabulary), feature_dim=old.feature_dim, grid_cells=old.grid_cells
    ).to(old.word_bias.device)
    weights = old.state_dict()
    for name in _OF_WORDS:
        new = decoder.state_dict()[name].clone()
        new[: old.vocab_size] = weights[name]
        weights[name] = new
    decoder.load_state_dict(weights)
    return Captioner(initial.encoder, decoder, vocabulary, initial.encoder_name)


def map_new_words_to_unk(tokens: Tensor, initial: RNNDecoder) -> Tensor:
    """The tokens with those that the initial decoder lacks as <unk>."""
    return tokens.masked_fill(tokens >= initial.vocab_size, Vocabulary.unk_id)


@torch.no_grad()
def init_new_word_embeddings(captioner: Captioner, initial: RNNDecoder, captions: CaptionDataset) -> None:
    """Give new words the embeddings and biases that the initial decoder would find sensible.

    A word's embedding is the mean of all known ones, weighted by the probability that the initial decoder
    gives them at the positions of the new word: broccoli becomes much like food. Its bias is such that
    the decoder expects the word as often as the captions have it.

    Args:
        captioner: made by `extended_captioner`; changed in place.
        initial: the decoder that it was made of.
        captions: the training images, with the vocabulary of `captioner`.
    """
    decoder, known = single_decoder(captioner.decoder), initial.vocab_size
    new = decoder.vocab_size - known
    if not new:
        return
    weight, bias = initial.embedding.weight, initial.word_bias
    counts, instead = bias.new_zeros(new), bias.new_zeros(new, known)
    for hidden, targets in _states(captioner, initial, captions):
        at = targets >= known
        logits = F.linear(hidden[at], weight, bias)
        logits[:, : len(SPECIALS)] = -torch.inf
        instead.index_add_(0, targets[at] - known, logits.softmax(dim=1))
        counts += torch.bincount(targets[at] - known, minlength=new)
    instead[counts == 0, len(SPECIALS) :] = 1.0  # cut off by the greatest length of captions
    embeddings = (instead / instead.sum(dim=1, keepdim=True)) @ weight  # (new, E)
    expected = bias.new_zeros(new)
    for hidden, _ in _states(captioner, initial, captions):
        normalizer = F.linear(hidden, weight, bias).logsumexp(dim=1, keepdim=True)
        expected += (F.linear(hidden, embeddings) - normalizer).exp().sum(dim=0)
    decoder.embedding.weight[known:] = embeddings
    decoder.word_bias[known:] = counts.clamp(min=1).log() - expected.log()


def _states(
    captioner: Captioner, initial: RNNDecoder, captions: CaptionDataset
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of what the initial decoder knows before each word (P, E) in fp32, and the words (P,)."""
    device, training = initial.word_bias.device, initial.training
    initial.eval()
    for batch in CaptionLoader(captions, batch_size=_BATCH, seed=0):
        features = captioner.features(batch.images.to(device))
        tokens, low = batch.captions.to(device), features.dtype == torch.bfloat16
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            hidden = initial(
                features, map_new_words_to_unk(tokens, initial), batch.lengths, batch.image_index
            )
        yield hidden.float(), packed_targets(tokens, batch.lengths)
    initial.train(training)
