"""What holds for every decoder: teacher forcing, steps, batches, gradients, learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from showtell.config import SearchConfig
from showtell.decoder import RNNDecoder, as_search_step, make_decoder, packed_targets
from showtell.search import SpecialTokens, search
from tests.conftest import tiny_decoder_config
from tests.decoder.tiny import (
    CELLS,
    END,
    FEATURES,
    PAD,
    START,
    UNK,
    VOCABULARY,
    batch_of,
    each_decoder,
    some_batch,
    tiny,
    unpack,
)


def teacher_forced(
    decoder: RNNDecoder, features: Tensor, captions: list[list[int]], images: list[int], padding: int = 0
) -> list[Tensor]:
    """Logits (T - 1, V) of each caption, whatever its length and place."""
    order = sorted(range(len(captions)), key=lambda i: -len(captions[i]))
    arguments = batch_of([captions[i] for i in order], [images[i] for i in order], padding)
    with torch.no_grad():
        logits = decoder.logits(decoder(features, *arguments))
    answers = unpack(logits, [len(captions[i]) for i in order])
    return [answers[order.index(i)] for i in range(len(captions))]


words = st.integers(4, VOCABULARY - 1)
one_caption = st.lists(words, max_size=6).map(lambda tokens: [START, *tokens, END])


@st.composite
def captioned_images(draw: st.DrawFn) -> tuple[int, list[list[int]], list[int]]:
    """How many images, their captions (from none to seven an image), and the image of each caption."""
    counts = draw(st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any))
    images = [image for image, count in enumerate(counts) for _ in range(count)]
    return len(counts), draw(st.lists(one_caption, min_size=len(images), max_size=len(images))), images


@each_decoder
@settings(deadline=None, max_examples=6)
@given(batch=captioned_images())
def test_teacher_forcing_is_stepping(
    kind: str, cell: str, batch: tuple[int, list[list[int]], list[int]]
) -> None:
    decoder = tiny(kind, cell)
    count, captions, images = batch
    features = torch.randn(count, CELLS, FEATURES)
    forced = teacher_forced(decoder, features, captions, images)
    for caption, image, expected in zip(captions, images, forced, strict=True):
        state = decoder.init_state(features[image : image + 1])
        for position, token in enumerate(caption[:-1]):
            output = decoder.step(torch.tensor([[token]]), state)
            state = output.state
            assert output.logits.shape == (1, 1, VOCABULARY)
            torch.testing.assert_close(output.logits[0, 0], expected[position], rtol=1e-4, atol=1e-5)


@each_decoder
def test_hypotheses_of_an_image_step_as_if_alone(kind: str, cell: str) -> None:
    decoder = tiny(kind, cell)
    features, tokens = torch.randn(3, CELLS, FEATURES), torch.randint(4, VOCABULARY, (5, 3, 4))
    state = decoder.init_state(features).select_hypotheses(np.zeros((3, 4), np.int64))
    alone = [[decoder.init_state(features[i : i + 1]) for _ in range(4)] for i in range(3)]
    for now in tokens:
        output = decoder.step(now, state)
        state = output.state
        assert (output.attention is None) == (kind == "pooled")
        if output.attention is not None:
            torch.testing.assert_close(output.attention.sum(dim=2), torch.ones(3, 4))
        for image in range(3):
            for hypothesis in range(4):
                one = decoder.step(now[image, hypothesis].view(1, 1), alone[image][hypothesis])
                alone[image][hypothesis] = one.state
                torch.testing.assert_close(
                    one.logits[0, 0], output.logits[image, hypothesis], rtol=1e-4, atol=1e-5
                )


@each_decoder
@settings(deadline=None, max_examples=6)
@given(batch=captioned_images(), padding=st.integers(1, 3), random=st.randoms(use_true_random=False))
def test_order_and_padding_change_nothing(
    kind: str, cell: str, batch: tuple[int, list[list[int]], list[int]], padding: int, random
) -> None:
    decoder = tiny(kind, cell)
    count, captions, images = batch
    features = torch.randn(count, CELLS, FEATURES)
    expected = teacher_forced(decoder, features, captions, images)
    image_order = random.sample(range(count), count)
    caption_order = random.sample(range(len(captions)), len(captions))
    shuffled = teacher_forced(
        decoder,
        features[image_order],
        [captions[i] for i in caption_order],
        [image_order.index(images[i]) for i in caption_order],
        padding,
    )
    for place, caption in enumerate(caption_order):
        torch.testing.assert_close(shuffled[place], expected[caption], rtol=1e-4, atol=1e-5)


@each_decoder
def test_gradients_reach_every_parameter(kind: str, cell: str) -> None:
    decoder = tiny(kind, cell).train()
    features, captions, lengths, image_index = some_batch()
    hidden = decoder(features, captions, lengths, image_index)
    F.cross_entropy(decoder.logits(hidden), packed_targets(captions, lengths)).backward()
    # Softmax does not see what is added to all scores alike.
    unseen = {"keys.bias"} if kind == "topdown" else {"energy.bias"}
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert name in unseen or parameter.grad.abs().max() > 1e-6, name


@each_decoder
def test_dropout_works_in_training_only(kind: str, cell: str) -> None:
    decoder = tiny(kind, cell)
    batch = some_batch()
    assert torch.equal(decoder(*batch), decoder(*batch))
    decoder.train()
    hidden = decoder(*batch)
    assert not torch.equal(hidden, decoder(*batch))
    dropped = [(rows == 0).tolist() for rows in unpack(hidden, batch[2].tolist())]
    assert all(row == caption[0] for caption in dropped for row in caption)  # one mask a caption
    assert len({tuple(caption[0]) for caption in dropped}) == len(dropped)


@each_decoder
def test_bf16_is_close_to_fp32(kind: str, cell: str) -> None:
    decoder = tiny(kind, cell)
    features, *rest = some_batch()
    exact = decoder(features, *rest)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close = decoder(features.bfloat16(), *rest)
    torch.testing.assert_close(close.float(), exact, rtol=0.1, atol=0.05)
    close.float().sum().backward()


@pytest.mark.parametrize(("kind", "cell"), [("topdown", "lstm"), ("attention", "gru"), ("pooled", "lstm")])
def test_eight_captions_are_learned_by_heart(kind: str, cell: str) -> None:
    torch.manual_seed(0)
    config = tiny_decoder_config(32, kind=kind, cell=cell, dropout=0.0)
    decoder = make_decoder(config, vocab_size=VOCABULARY, feature_dim=16, grid_cells=CELLS)
    features = torch.randn(8, CELLS, 16)
    wanted = [torch.randint(4, VOCABULARY, (length,)).tolist() for length in (7, 6, 6, 5, 4, 3, 2, 0)]
    captions, lengths, image_index = batch_of([[START, *words, END] for words in wanted], list(range(8)))
    targets = packed_targets(captions, lengths)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
    for _ in range(120):
        loss = F.cross_entropy(decoder.logits(decoder(features, captions, lengths, image_index)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    decoder.eval()
    search_config = SearchConfig(beam_size=1, min_length=0, block_ngram=0)
    with torch.inference_mode():
        results = search(
            as_search_step(decoder.step, END),
            decoder.init_state(features),
            SpecialTokens(START, END, (PAD, START, UNK)),
            search_config,
        )
    assert [list(hypotheses[0].tokens) for hypotheses in results] == wanted
