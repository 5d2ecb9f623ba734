"""Show and Tell: the pooled image is the first input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.decoder.tiny import CELLS, some_batch, tiny, unpack


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_pooled_is_show_and_tell(cell: str) -> None:
    """One recurrent run over image, <start>, words: Vinyals et al. 2015, equations 10 to 12."""
    decoder = tiny("pooled", cell)
    features, captions, lengths, image_index = some_batch()
    answers = unpack(decoder(features, captions, lengths, image_index), lengths.tolist())
    rnn = (nn.LSTM if cell == "lstm" else nn.GRU)(8, 10)
    rnn.load_state_dict(decoder.rnn.state_dict())
    for caption, length, image, answer in zip(captions, lengths, image_index, answers, strict=True):
        seen = decoder.image(features[image].mean(dim=0, keepdim=True))
        words = decoder.embedding.weight[caption[: length - 1]] * 8**0.5
        outputs, _ = rnn(torch.cat([seen, words]))
        torch.testing.assert_close(answer, torch.tanh(decoder.output(outputs[1:])), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_only_the_mean_of_the_cells_counts(cell: str) -> None:
    decoder = tiny("pooled", cell)
    assert not decoder.has_attention
    features, *rest = some_batch()
    pooled = features.mean(dim=1, keepdim=True).expand_as(features)
    torch.testing.assert_close(decoder(pooled, *rest), decoder(features, *rest))
    turned = torch.stack([features[:, place] for place in torch.randperm(CELLS)], dim=1)
    torch.testing.assert_close(decoder(turned, *rest), decoder(features, *rest))
    assert not torch.allclose(decoder(features + 1, *rest), decoder(features, *rest), atol=1e-3)
