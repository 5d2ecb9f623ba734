"""Captions from image features, by a decoder in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.config import SearchConfig
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import StepDecoder, as_search_step
from showtell.decoder.tensor_search import TensorBeamSearch, searches_on_device
from showtell.search import Hypothesis, search


def generate_captions(
    decoder: StepDecoder,
    vocabulary: Vocabulary,
    features: Tensor,
    config: SearchConfig,
    *,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search captions for features (B, R, D) with a decoder, which is put in evaluation mode meanwhile.

    The decoder computes in bf16 if the features are bf16, as in training, else in fp32.

    Raises:
        ModelError: its logits are not finite.
    """
    training = decoder.training
    decoder.eval()
    try:
        low = features.dtype == torch.bfloat16
        with torch.inference_mode(), torch.autocast(features.device.type, torch.bfloat16, enabled=low):
            return search_captions(
                decoder, vocabulary, features if low else features.float(), config, attention
            )
    finally:
        decoder.train(training)


def search_captions(
    decoder: StepDecoder, vocabulary: Vocabulary, features: Tensor, config: SearchConfig, attention: bool
) -> list[list[Hypothesis]]:
    """Search captions for features (B, R, D), with a decoder in evaluation mode, in its number format.

    Raises:
        ModelError: the decoder's logits are not finite.
    """
    specials = special_tokens(vocabulary)
    if features.is_cuda and len(features) and searches_on_device(config):
        return TensorBeamSearch(decoder.step, specials, config, attention).run(decoder.init_state(features))
    step = as_search_step(decoder.step, specials.eos)
    return search(step, decoder.init_state(features), specials, config, attention=attention)
