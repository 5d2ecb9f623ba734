"""Show, Attend and Tell, against its equations written out for one word of one caption."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from showtell.decoder.attention import AttentionDecoder
from tests.decoder.tiny import CELLS, FEATURES, some_batch, tiny, unpack


def context(decoder: AttentionDecoder, grid: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The gated context vector (D,) and the weights (R,) of a grid (R, D): Xu et al. 2015."""
    energies = [
        decoder.energy.weight[0] @ torch.tanh(decoder.keys(cell) + decoder.query(hidden))
        + decoder.energy.bias[0]
        for cell in grid
    ]
    weights = torch.stack(energies).exp()
    weights = weights / weights.sum()
    beta = 1 / (1 + torch.exp(-(decoder.gate.weight[0] @ hidden + decoder.gate.bias[0])))
    return beta * sum(weight * cell for weight, cell in zip(weights, grid, strict=True)), weights


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_the_states_are_those_of_the_equations(cell: str) -> None:
    decoder = tiny("attention", cell)
    assert isinstance(decoder, AttentionDecoder)
    features, captions, lengths, image_index = some_batch()
    answers = unpack(decoder(features, captions, lengths, image_index), lengths.tolist())
    kind = nn.LSTMCell if cell == "lstm" else nn.GRUCell
    rnn = kind(decoder.config.embedding_dim + FEATURES, decoder.config.hidden_dim)
    rnn.load_state_dict({name.removesuffix("_l0"): value for name, value in decoder.rnn.state_dict().items()})
    for caption, length, image, answer in zip(captions, lengths, image_index, answers, strict=True):
        grid = features[image]
        start = torch.tanh(decoder.init_memory(grid.mean(dim=0)))
        state = start.split(decoder.config.hidden_dim)
        for position, word in enumerate(caption[: length - 1]):
            attended, _ = context(decoder, grid, state[0])
            embedded = decoder.embedding.weight[word] * decoder.config.embedding_dim**0.5
            inputs = torch.cat([embedded, attended])
            state = rnn(inputs, state) if cell == "lstm" else (rnn(inputs, state[0]),)
            expected = torch.tanh(decoder.output(torch.cat([state[0], attended])))
            torch.testing.assert_close(answer[position], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_weights_of_a_step_are_those_of_the_equations() -> None:
    decoder = tiny("attention", "lstm")
    assert isinstance(decoder, AttentionDecoder)
    grid = torch.randn(1, CELLS, FEATURES)
    state = decoder.init_state(grid)
    output = decoder.step(torch.tensor([[5]]), state)
    assert output.attention is not None
    _, weights = context(decoder, grid[0], state.recurrent[0][0, 0])
    torch.testing.assert_close(output.attention[0, 0], weights)
