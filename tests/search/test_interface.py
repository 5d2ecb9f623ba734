"""The interface of search and decoders: states, and the steps of real decoders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.config import DecoderConfig, SearchConfig
from showtell.decoder import RNNDecoder, SearchState, make_decoder
from showtell.errors import ModelError
from showtell.search import Hypothesis
from tests.search.models import CELLS, END, SEARCHES, SPECIALS, START, HashModel, Stubborn, search


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("config", SEARCHES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused(config: SearchConfig, bad: float) -> None:
    broken = Stubborn([0.0, 0.0, 0.0, 0.0, 1.0, bad])
    with pytest.raises(ModelError, match="not finite"):
        search(broken.step, broken.start(1), SPECIALS, config)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("config", SEARCHES)
def test_no_images_no_captions(config: SearchConfig) -> None:
    model = HashModel(0, words=5)
    assert search(model.step, model.start([]), SPECIALS, config) == []


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("config", SEARCHES)
def test_attention_is_returned_on_demand_only(config: SearchConfig) -> None:
    model = HashModel(0, words=5)
    assert search(model.step, model.start([0]), SPECIALS, config)[0][0].attention is None
    hypothesis = search(model.step, model.start([0]), SPECIALS, config, attention=True)[0][0]
    assert hypothesis.attention is not None
    assert hypothesis.attention.shape == (len(hypothesis.tokens), CELLS)


def tiny_decoder(kind: str, cell: str) -> RNNDecoder:
    torch.manual_seed(0)
    config = DecoderConfig(
        kind=kind, cell=cell, embedding_dim=8, hidden_dim=12, attention_dim=8, attention_heads=2
    )
    decoder = make_decoder(config, vocab_size=12, feature_dim=6, grid_cells=4).eval()
    for parameter in decoder.parameters():  # larger than fresh weights: the history and the image matter
        parameter.data.mul_(3)
    decoder.word_bias.data[END] = 2
    return decoder


DECODERS = [(kind, cell) for kind in ("pooled", "attention", "topdown") for cell in ("lstm", "gru")]
CONFIGS = [
    pytest.param(SearchConfig(beam_size=4, num_captions=4, max_length=8, length_penalty=0), id="beam"),
    pytest.param(SearchConfig(sample=True, num_captions=4, max_length=8), id="sampling"),
]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("kind", "cell"), DECODERS)
def test_log_probabilities_are_those_of_teacher_forcing(kind: str, cell: str, config: SearchConfig) -> None:
    decoder = tiny_decoder(kind, cell)
    features = torch.randn(5, 4, 6)
    batch = search(decoder.step, decoder.init_state(features), SPECIALS, config)
    assert len({len(h.tokens) for row in batch for h in row}) > 1
    for image, row in enumerate(batch):
        for hypothesis in row:
            caption = torch.tensor([[START, *hypothesis.tokens, END]])
            with torch.no_grad():
                hidden = decoder(features, caption, torch.tensor([caption.shape[1]]), torch.tensor([image]))
                log_probs = decoder.logits(hidden).log_softmax(dim=1)
            own = log_probs.gather(1, caption[0, 1:].unsqueeze(1)).flatten()
            torch.testing.assert_close(torch.tensor(hypothesis.token_log_probs), own, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("kind", "cell"), [d for d in DECODERS if d[0] != "pooled"])
def test_attention_is_that_of_teacher_forcing(kind: str, cell: str, config: SearchConfig) -> None:
    decoder = tiny_decoder(kind, cell)
    features = torch.randn(4, 4, 6)
    batch = search(decoder.step, decoder.init_state(features), SPECIALS, config, attention=True)
    for image, row in enumerate(batch):
        for hypothesis in row:
            state = decoder.init_state(features[image : image + 1])
            weights = []
            with torch.no_grad():
                for token in (START, *hypothesis.tokens[:-1]):
                    output = decoder.step(torch.tensor([[token]]), state)
                    state = output.state
                    weights.append(output.attention[0, 0])
            np.testing.assert_allclose(
                hypothesis.attention, torch.stack(weights).numpy(), rtol=1e-4, atol=1e-5
            )
            np.testing.assert_allclose(hypothesis.attention.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("kind", "cell"), DECODERS)
def test_a_batch_is_captioned_as_one_by_one(kind: str, cell: str) -> None:
    decoder = tiny_decoder(kind, cell)
    features = torch.randn(6, 4, 6)
    config = SearchConfig(beam_size=3, num_captions=3, max_length=8, length_penalty=0)
    together = search(decoder.step, decoder.init_state(features), SPECIALS, config)
    for image, hypotheses in enumerate(together):
        alone = search(decoder.step, decoder.init_state(features[image : image + 1]), SPECIALS, config)[0]
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], rel=1e-4)
    assert len({hypotheses[0].tokens for hypotheses in together}) > 1


@settings(max_examples=20)
@given(st.data())
def test_a_state_is_selected_from_like_a_list(data: st.DataObject) -> None:
    images, hypotheses = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    state = SearchState(
        (torch.randn(images, 3, 2),), (torch.randn(images, hypotheses), torch.randn(images, hypotheses, 5))
    )
    width = data.draw(st.integers(1, 5))
    parents = data.draw(
        st.lists(
            st.lists(st.integers(0, hypotheses - 1), min_size=width, max_size=width),
            min_size=images,
            max_size=images,
        )
    )
    rows = data.draw(st.lists(st.integers(0, images - 1), max_size=5))
    picked = state.select_hypotheses(np.array(parents))
    assert picked.context is state.context
    for before, after in zip(state.recurrent, picked.recurrent, strict=True):
        naive = [before[image, parent] for image, row in enumerate(parents) for parent in row]
        torch.testing.assert_close(after.flatten(0, 1), torch.stack(naive))
    kept = state.select_images(np.array(rows, np.int64))
    for before, after in zip(state.context + state.recurrent, kept.context + kept.recurrent, strict=True):
        assert len(after) == len(rows)
        assert all(torch.equal(after[i], before[row]) for i, row in enumerate(rows))


def test_hypotheses_with_attention_can_be_compared_and_hashed() -> None:
    one, same = (Hypothesis((4, 5), (-1.0, -0.5, -0.1), -1.6, np.ones((2, 3), np.float32)) for _ in range(2))
    assert one == same
    assert len({one, same}) == 1
