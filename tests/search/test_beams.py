"""Search, against enumeration and against plain Python loops over one hypothesis at a time."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from showtell.config import DecoderConfig, SearchConfig
from showtell.decoder import RNNDecoder, SearchState, StepOutput, as_search_step, make_decoder
from showtell.decoder.state import TensorStep
from showtell.decoder.tensor_search import TensorBeams, searches_on_device
from showtell.errors import ModelError
from showtell.search import Hypothesis, SpecialTokens, filter_logits
from showtell.search import search as search_arrays

PAD, START, END, UNK = range(4)
SPECIALS = SpecialTokens(START, END, (PAD, START, UNK))
NEG_INF = -math.inf
CELLS = 3


@pytest.fixture(autouse=True, params=["arrays", "tensors"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with the search over arrays, and with that on a device where it does the same."""
    monkeypatch.setitem(ENGINE, "name", request.param)
    return str(request.param)


ENGINE = {"name": "arrays"}


def search(
    step: TensorStep,
    state: SearchState,
    specials: SpecialTokens,
    config: SearchConfig,
    *,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search with a step over tensors."""
    with torch.inference_mode():
        if ENGINE["name"] == "tensors" and searches_on_device(config) and state.images:
            return TensorBeams(step, specials, config, attention).run(state)
        return search_arrays(as_search_step(step, specials.end), state, specials, config, attention=attention)


class HashModel:
    """A model whose next word depends on the image and on every word so far, by a table of random logits.

    The image is in the context, the history in the memory: both must stay with their hypothesis.
    """

    rows = 10_007

    def __init__(self, seed: int, words: int, spread: float = 2.0, end_bonus: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = words
        logits = torch.randn(self.rows, 4 + words, generator=generator) * spread
        logits[:, END] += end_bonus
        self.table = logits
        self.attention = torch.randn(self.rows, CELLS, generator=generator).softmax(dim=1)
        self.log_probs = logits.log_softmax(dim=1).numpy()

    def start(self, images: list[int]) -> SearchState:
        context = torch.tensor(images, dtype=torch.long)
        return SearchState((context,), (torch.zeros(len(images), 1, dtype=torch.long),))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        history = self._next(state.recurrent[0], tokens)
        row = self._row(history, state.context[0].unsqueeze(1))
        return StepOutput(self.table[row], SearchState(state.context, (history,)), self.attention[row])

    def row(self, image: int, words: tuple[int, ...]) -> int:
        """The row of the table that answers after `words`."""
        history = 0
        for token in (START, *words):
            history = self._next(history, token)
        return self._row(history, image)

    def _next(self, history, token):
        return (history * 31 + token + 7) % self.rows

    def _row(self, history, image):
        return (history + image * 131) % self.rows


def allowed(
    model: HashModel, image: int, words: tuple[int, ...], config: SearchConfig
) -> dict[int, np.float32]:
    """Log-probability of everything that may follow `words`, by the rules as they are documented."""
    log_probs = model.log_probs[model.row(image, words)]
    may = {}
    if len(words) < config.max_length:
        seen = set(itertools.pairwise(words)) if config.block_ngram == 2 else set()
        if config.block_ngram > 2:
            n = config.block_ngram
            seen = {words[i : i + n] for i in range(len(words) - n + 1)}
        for word in range(4, 4 + model.words):
            if (*words, word)[-config.block_ngram :] not in seen or not config.block_ngram:
                may[word] = log_probs[word]
    if len(words) >= config.min_length or not may:
        may[END] = log_probs[END]
    return may


def every_caption(model: HashModel, image: int, config: SearchConfig) -> dict[tuple[int, ...], float]:
    """Score of every caption that may be said."""
    found = {}

    def extend(words: tuple[int, ...], total: float) -> None:
        for token, log_prob in allowed(model, image, words, config).items():
            if token == END:
                found[words] = (total + float(log_prob)) / (len(words) + 1) ** config.length_penalty
            else:
                extend((*words, token), total + float(log_prob))

    extend((), 0.0)
    return found


def plain_beam_search(
    model: HashModel, image: int, config: SearchConfig
) -> list[tuple[float, tuple[int, ...]]]:
    """Beam search of one image that never stops early: to `max_length`, always."""
    beam: list[tuple[np.float32, tuple[int, ...], float]] = [(np.float32(0), (), 0.0)]
    ended = []
    for _ in range(config.max_length + 1):
        ranked = sorted(
            (
                (total + log_prob, words, token, exact + float(log_prob))
                for total, words, exact in beam
                for token, log_prob in allowed(model, image, words, config).items()
            ),
            key=lambda item: -item[0],
        )
        for _, words, token, exact in ranked[: config.beam_size]:
            if token == END:
                ended.append((exact / (len(words) + 1) ** config.length_penalty, words))
        going_on = [(t, (*w, token), exact) for t, w, token, exact in ranked if token != END]
        beam = going_on[: config.beam_size]
    return sorted(ended, reverse=True)[: config.num_captions]


def plain_diverse_search(model: HashModel, image: int, config: SearchConfig) -> list[tuple[int, ...]]:
    """Diverse beam search of one image that never stops early: the caption of each beam, in their order."""
    beams: list[list[tuple[np.float32, tuple[int, ...], float]]]
    beams = [[(np.float32(0), (), 0.0)] for _ in range(config.num_captions)]
    ended: list[list[tuple[float, tuple[int, ...]]]] = [[] for _ in beams]
    for _ in range(config.max_length + 1):
        chosen: Counter[int] = Counter()
        for group, beam in enumerate(beams):
            ranked = sorted(
                (
                    (total + log_prob, words, token, exact + float(log_prob))
                    for total, words, exact in beam
                    for token, log_prob in allowed(model, image, words, config).items()
                ),
                key=lambda item: -(item[0] - np.float32(config.diversity) * np.float32(chosen[item[2]])),
            )
            for _, words, token, exact in ranked[: config.beam_size]:
                if token == END:
                    ended[group].append((exact / (len(words) + 1) ** config.length_penalty, words))
            going_on = [(t, (*w, token), exact) for t, w, token, exact in ranked if token != END]
            beams[group] = going_on[: config.beam_size]
            chosen.update(words[-1] for _, words, _ in beams[group])
    captions: list[tuple[int, ...]] = []
    for found in ended:
        best = found[:1] if config.beam_size == 1 else sorted(found, reverse=True)[: config.beam_size]
        captions.append(next((words for _, words in best if words not in captions), best[0][1]))
    return captions


def check_against_model(model: HashModel, image: int, hypothesis: Hypothesis, config: SearchConfig) -> None:
    """The caption may be said, and its log-probabilities, score and attention are its own."""
    words = hypothesis.tokens
    assert set(words) <= set(range(4, 4 + model.words))
    assert len(words) <= config.max_length
    prefixes = [words[:i] for i in range(len(words) + 1)]
    own = [
        allowed(model, image, prefix, config)[token]
        for prefix, token in zip(prefixes, (*words, END), strict=True)
    ]
    assert hypothesis.token_log_probs == pytest.approx(own, rel=1e-5)
    assert hypothesis.log_probability == pytest.approx(float(sum(own)), rel=1e-5)
    assert hypothesis.score == pytest.approx(float(sum(own)) / len(own) ** config.length_penalty, rel=1e-5)
    if hypothesis.attention is not None:
        looked = torch.stack([model.attention[model.row(image, prefix)] for prefix in prefixes[:-1]]).numpy()
        np.testing.assert_allclose(hypothesis.attention, looked)


seeds = st.integers(0, 2**31)
penalties = st.sampled_from([0.0, 0.7, 1.0, 2.0])


@st.composite
def lengths(draw: st.DrawFn, longest: int) -> tuple[int, int]:
    most = draw(st.integers(1, longest))
    return draw(st.integers(0, most)), most


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 3), lengths(4), st.sampled_from([0, 2, 3]), penalties)
def test_a_wide_beam_finds_the_best_of_all_captions(
    seed: int, words: int, length: tuple[int, int], block_ngram: int, penalty: float
) -> None:
    model = HashModel(seed, words)
    config = SearchConfig(
        beam_size=4 * 3**4,
        num_captions=4 * 3**4,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        length_penalty=penalty,
    )
    every = every_caption(model, 5, config)
    found = search(model.step, model.start([5]), SPECIALS, config)[0]
    assert {h.tokens for h in found} == set(every)
    assert len(found) == len(every)
    assert [h.score for h in found] == pytest.approx(sorted(every.values(), reverse=True), rel=1e-5)
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(every[hypothesis.tokens], rel=1e-5)


@settings(deadline=None, max_examples=80)
@given(
    seed=seeds,
    words=st.integers(2, 8),
    beam_size=st.integers(2, 5),
    length=lengths(9),
    block_ngram=st.sampled_from([0, 2, 3]),
    penalty=penalties,
    end_bonus=st.sampled_from([-2.0, 0.0, 2.0]),
    spread=st.sampled_from([1.0, 3.0, 9.0]),
)
def test_stopping_early_loses_nothing_and_images_do_not_disturb_each_other(
    seed: int,
    words: int,
    beam_size: int,
    length: tuple[int, int],
    block_ngram: int,
    penalty: float,
    end_bonus: float,
    spread: float,
) -> None:
    model = HashModel(seed, words, spread, end_bonus)
    config = SearchConfig(
        beam_size=beam_size,
        num_captions=beam_size,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        length_penalty=penalty,
    )
    images = [3, 8, 1, 4]
    batch = search(model.step, model.start(images), SPECIALS, config, attention=True)
    for image, found in zip(images, batch, strict=True):
        expected = plain_beam_search(model, image, config)
        assert [h.tokens for h in found] == [tokens for _, tokens in expected]
        assert [h.score for h in found] == pytest.approx([score for score, _ in expected])
        for hypothesis in found:
            check_against_model(model, image, hypothesis, config)


def test_a_caption_that_wins_late_is_waited_for() -> None:
    """Short captions end early; the best of all is unlikely at its second word, and certain from there on."""
    words = 60
    hesitates = [0.0] * (4 + words)
    hesitates[4:] = [0.5 / words] * words
    hesitates[END] = 0.5
    said = [[0.0, 0.0, 0.5, 0.0, 0.25, 0.25] + [0.0] * (words - 2), hesitates]
    said += [[0.0] * 4 + [float(word == position) for word in range(words)] for position in range(7)]
    said.append([0.0, 0.0, 1.0, 0.0] + [0.0] * words)
    logits = torch.tensor(said).clamp(min=1e-30).log()

    def step(tokens: Tensor, state: SearchState) -> StepOutput:
        (position,) = state.recurrent
        return StepOutput(logits[position], SearchState((), (position + 1,)), None)

    config = SearchConfig(beam_size=2, num_captions=2, max_length=9, length_penalty=1.0)
    found = search(step, SearchState((), (torch.zeros(1, 1, dtype=torch.long),)), SPECIALS, config)[0]
    assert [len(h.tokens) for h in found] == [9, 9]
    assert found[0].score == pytest.approx(math.log(0.25 * 0.5 / words) / 10, rel=1e-4)


def test_images_leave_the_batch_when_they_are_done() -> None:
    model = HashModel(0, words=8, end_bonus=1.0)
    sizes = []

    def step(tokens: Tensor, state: SearchState) -> StepOutput:
        sizes.append(len(tokens))
        return model.step(tokens, state)

    images = list(range(20))
    config = SearchConfig(length_penalty=0)
    search_arrays(as_search_step(step, END), model.start(images), SPECIALS, config)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 3
    assert len(sizes) < 21  # and nobody waits for the longest caption allowed


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 8), lengths(9), st.sampled_from([0, 2, 3]), penalties)
def test_one_beam_is_greedy(
    seed: int, words: int, length: tuple[int, int], block_ngram: int, penalty: float
) -> None:
    model = HashModel(seed, words, end_bonus=1.0)
    config = SearchConfig(
        beam_size=1,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        length_penalty=penalty,
    )
    batch = search(model.step, model.start([0, 1, 2]), SPECIALS, config)
    for image, found in enumerate(batch):
        said: tuple[int, ...] = ()
        while (token := max((may := allowed(model, image, said, config)), key=may.__getitem__)) != END:
            said = (*said, token)
        assert [h.tokens for h in found] == [said]


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 8), lengths(9), st.sampled_from([0, 2, 3]), st.integers(0, 5), st.booleans())
def test_samples_may_be_said_and_carry_their_own_numbers(
    seed: int, words: int, length: tuple[int, int], block_ngram: int, top_k: int, nucleus: bool
) -> None:
    model = HashModel(seed, words, end_bonus=1.0)
    config = SearchConfig(
        sample=True,
        num_captions=4,
        min_length=length[0],
        max_length=length[1],
        block_ngram=block_ngram,
        top_k=top_k,
        top_p=0.7 if nucleus else 1.0,
        temperature=1.5,
        seed=seed,
    )
    batch = search(model.step, model.start([2, 9]), SPECIALS, config, attention=True)
    for image, found in zip([2, 9], batch, strict=True):
        assert len(found) == 4
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for hypothesis in found:
            check_against_model(model, image, hypothesis, config)


class Stubborn:
    """A decoder that always answers the same logits; images from the second on hate to end."""

    def __init__(self, logits: list[float], others_end: float | None = None) -> None:
        self.logits = torch.tensor(logits)
        self.others = self.logits.clone()
        if others_end is not None:
            self.others[END] = others_end

    def start(self, images: int) -> SearchState:
        return SearchState((torch.arange(images),), (torch.zeros(images, 1, 1),))

    def step(self, tokens: Tensor, state: SearchState) -> StepOutput:
        first = (state.context[0] == 0).view(-1, 1, 1)
        logits = torch.where(first, self.logits, self.others).expand(*tokens.shape, -1)
        return StepOutput(logits, state, None)


SEARCHES = [
    pytest.param(SearchConfig(beam_size=1), id="greedy"),
    pytest.param(SearchConfig(num_captions=3), id="beam"),
    pytest.param(SearchConfig(sample=True, num_captions=5), id="sampling"),
]


@pytest.mark.parametrize("config", SEARCHES)
def test_specials_are_never_said_and_no_three_words_come_twice(config: SearchConfig) -> None:
    wants_specials_and_one_word = Stubborn([50.0, 50.0, -20.0, 50.0, 20.0, 10.0] + [0.0] * 6)
    for found in search(
        wants_specials_and_one_word.step, wants_specials_and_one_word.start(2), SPECIALS, config
    ):
        assert found
        for hypothesis in found:
            assert set(hypothesis.tokens) <= set(range(4, 12))
            assert len(hypothesis.tokens) == config.max_length  # it hates to end, and still comes out
            trigrams = list(zip(*(hypothesis.tokens[i:] for i in range(3)), strict=False))
            assert len(trigrams) == len(set(trigrams))


@pytest.mark.parametrize("config", SEARCHES)
def test_repeats_are_allowed_on_demand(config: SearchConfig) -> None:
    stubborn = Stubborn([0.0, 0.0, -50.0, 0.0, 50.0, 0.0])
    found = search(stubborn.step, stubborn.start(1), SPECIALS, replace(config, block_ngram=0))
    assert (4,) * config.max_length in {h.tokens for h in found[0]}


@pytest.mark.parametrize("config", SEARCHES)
def test_a_caption_has_the_least_length(config: SearchConfig) -> None:
    eager = Stubborn([0.0, 0.0, 50.0, 0.0, 1.0, 2.0, 3.0])
    for least in (0, 1, 4):
        found = search(eager.step, eager.start(1), SPECIALS, replace(config, min_length=least))[0]
        assert len(found[0].tokens) == min(len(h.tokens) for h in found) == least


@pytest.mark.parametrize("config", SEARCHES)
def test_a_caption_ends_where_no_word_may_follow_even_below_the_least_length(config: SearchConfig) -> None:
    one_word = Stubborn([0.0, 0.0, 0.0, 0.0, 1.0])
    config = replace(config, block_ngram=2, min_length=6)
    for found in search(one_word.step, one_word.start(2), SPECIALS, config):
        assert {h.tokens for h in found} == {(4, 4)}


def test_a_sample_that_has_ended_does_not_disturb_the_others() -> None:
    # Ended samples run on beside the others, and meet the blocking of repeats too.
    model = Stubborn([0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0], others_end=-8.0)
    config = SearchConfig(sample=True, block_ngram=2, num_captions=20, min_length=0)
    first, second = search(model.step, model.start(2), SPECIALS, config)
    assert len(first) == len(second) == 20
    assert max(len(h.tokens) for h in first) < min(len(h.tokens) for h in second)


@pytest.mark.parametrize("config", SEARCHES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused(config: SearchConfig, bad: float) -> None:
    broken = Stubborn([0.0, 0.0, 0.0, 0.0, 1.0, bad])
    with pytest.raises(ModelError, match="not finite"):
        search(broken.step, broken.start(1), SPECIALS, config)


@pytest.mark.parametrize("config", SEARCHES)
def test_no_images_no_captions(config: SearchConfig) -> None:
    model = HashModel(0, words=5)
    assert search(model.step, model.start([]), SPECIALS, config) == []


@pytest.mark.parametrize("config", SEARCHES)
def test_where_the_decoder_looked_is_kept_on_demand_only(config: SearchConfig) -> None:
    model = HashModel(0, words=5)
    assert search(model.step, model.start([0]), SPECIALS, config)[0][0].attention is None
    looked = search(model.step, model.start([0]), SPECIALS, config, attention=True)[0][0]
    assert looked.attention is not None
    assert looked.attention.shape == (len(looked.tokens), CELLS)


# Sampling


def first_words(model: HashModel, images: list[int], count: int, **settings: float) -> np.ndarray:
    """(images, count), the drawn first words: captions of one word, in the order drawn."""
    drawn = []

    def step(tokens: Tensor, state: SearchState) -> StepOutput:
        drawn.append(tokens)
        return model.step(tokens, state)

    config = SearchConfig(sample=True, num_captions=count, min_length=1, max_length=1, seed=1, **settings)
    search(step, model.start(images), SPECIALS, config)
    return drawn[1].numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_words_are_drawn_as_often_as_they_are_probable(temperature: float) -> None:
    model, count = HashModel(3, words=6, spread=1.0), 5000
    counts = np.bincount(first_words(model, [4], count, temperature=temperature)[0], minlength=10)
    weights = np.exp(model.log_probs[model.row(4, ())].astype(float) / temperature)
    weights[:4] = 0  # neither specials nor the end may be drawn first
    assert counts[:4].sum() == 0
    assert stats.chisquare(counts[4:], count * weights[4:] / weights.sum()).pvalue > 0.01


def test_captions_of_a_batch_are_drawn_independently() -> None:
    one, two = first_words(HashModel(3, words=3, spread=0.3), [4, 4], 4000)
    for left, right in ((one, two), (one[:-1], one[1:])):
        table = np.array([[np.sum((left == a) & (right == b)) for a in (4, 5, 6)] for b in (4, 5, 6)])
        assert stats.chi2_contingency(table).pvalue > 0.01


def test_samples_are_the_same_for_the_same_seed_only() -> None:
    model = HashModel(0, words=8)

    def captions(seed: int) -> list[list[Hypothesis]]:
        config = SearchConfig(sample=True, num_captions=3, seed=seed)
        return search(model.step, model.start([0, 1]), SPECIALS, config)

    torch.manual_seed(0)
    once = captions(5)
    torch.manual_seed(1)
    assert captions(5) == once
    assert captions(6) != once


def naive_filter(logits: list[float], top_k: int, top_p: float) -> set[int]:
    """Which words stay."""
    ranked = sorted(range(len(logits)), key=lambda word: -logits[word])
    if top_k:
        ranked = ranked[:top_k]
    weights = [math.exp(logits[word] - logits[ranked[0]]) for word in ranked]
    kept, held = set(), 0.0
    for word, weight in zip(ranked, weights, strict=True):
        if top_p < 1 and held >= top_p * sum(weights) and kept:
            break
        kept.add(word)
        held += weight
    return kept


@settings(deadline=None)
@given(
    st.lists(st.integers(-400, 400), unique=True, min_size=1, max_size=12),
    st.integers(0, 14),
    st.sampled_from([0.0, 0.001, 0.1, 0.33, 0.5, 0.77, 0.95, 1.0]),
)
def test_filters_keep_the_likeliest(hundredths: list[int], top_k: int, top_p: float) -> None:
    values = [value / 100 for value in hundredths]
    logits = np.tile(values, (2, 3, 1))
    filtered = filter_logits(logits, top_k, top_p)
    expected = naive_filter(values, top_k, top_p)
    for row in filtered.reshape(6, -1):
        assert set(np.flatnonzero(row > NEG_INF).tolist()) == expected
        np.testing.assert_array_equal(row[row > NEG_INF], logits[0, 0][row > NEG_INF])


# Real decoders


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


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("kind", "cell"), DECODERS)
def test_log_probabilities_are_those_of_teacher_forcing(kind: str, cell: str, config: SearchConfig) -> None:
    decoder = tiny_decoder(kind, cell)
    features = torch.randn(5, 4, 6)
    found = search(decoder.step, decoder.init_state(features), SPECIALS, config)
    assert len({len(h.tokens) for row in found for h in row}) > 1
    for image, row in enumerate(found):
        for hypothesis in row:
            caption = torch.tensor([[START, *hypothesis.tokens, END]])
            with torch.no_grad():
                hidden = decoder(features, caption, torch.tensor([caption.shape[1]]), torch.tensor([image]))
                log_probs = decoder.logits(hidden).log_softmax(dim=1)
            own = log_probs.gather(1, caption[0, 1:].unsqueeze(1)).flatten()
            torch.testing.assert_close(torch.tensor(hypothesis.token_log_probs), own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("kind", "cell"), [d for d in DECODERS if d[0] != "pooled"])
def test_attention_is_that_of_saying_the_caption_again(kind: str, cell: str, config: SearchConfig) -> None:
    decoder = tiny_decoder(kind, cell)
    features = torch.randn(4, 4, 6)
    found = search(decoder.step, decoder.init_state(features), SPECIALS, config, attention=True)
    for image, row in enumerate(found):
        for hypothesis in row:
            state = decoder.init_state(features[image : image + 1])
            said = []
            with torch.no_grad():
                for token in (START, *hypothesis.tokens[:-1]):
                    output = decoder.step(torch.tensor([[token]]), state)
                    state = output.state
                    said.append(output.attention[0, 0])
            np.testing.assert_allclose(hypothesis.attention, torch.stack(said).numpy(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(hypothesis.attention.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(("kind", "cell"), DECODERS)
def test_a_batch_is_captioned_as_one_by_one(kind: str, cell: str) -> None:
    decoder = tiny_decoder(kind, cell)
    features = torch.randn(6, 4, 6)
    config = SearchConfig(beam_size=3, num_captions=3, max_length=8, length_penalty=0)
    together = search(decoder.step, decoder.init_state(features), SPECIALS, config)
    for image, found in enumerate(together):
        alone = search(decoder.step, decoder.init_state(features[image : image + 1]), SPECIALS, config)[0]
        assert [h.tokens for h in found] == [h.tokens for h in alone]
        assert [h.score for h in found] == pytest.approx([h.score for h in alone], rel=1e-4)
    assert len({found[0].tokens for found in together}) > 1


# The state


@settings(deadline=None)
@given(st.data())
def test_a_state_is_picked_from_like_a_list(data: st.DataObject) -> None:
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


@settings(deadline=None, max_examples=60)
@given(
    seed=seeds,
    words=st.integers(2, 8),
    beam_size=st.integers(1, 3),
    num_captions=st.integers(2, 4),
    length=lengths(7),
    diversity=st.sampled_from([0.01, 0.5, 3.0]),
    penalty=penalties,
)
def test_diverse_beams_choose_one_after_the_other(
    seed: int,
    words: int,
    beam_size: int,
    num_captions: int,
    length: tuple[int, int],
    diversity: float,
    penalty: float,
) -> None:
    model = HashModel(seed, words, 3.0)
    config = SearchConfig(
        beam_size=beam_size,
        num_captions=num_captions,
        min_length=length[0],
        max_length=length[1],
        length_penalty=penalty,
        diversity=diversity,
    )
    images = [3, 11, 4]
    found = search(model.step, model.start(images), SPECIALS, config, attention=True)
    for image, hypotheses in zip(images, found, strict=True):
        expected = plain_diverse_search(model, image, config)
        assert sorted(h.tokens for h in hypotheses) == sorted(expected)
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            check_against_model(model, image, hypothesis, config)


def test_more_diversity_makes_captions_differ_more() -> None:
    model = HashModel(1, 8, 2.0)

    def distinct(diversity: float) -> int:
        config = SearchConfig(beam_size=2, num_captions=4, max_length=6, diversity=diversity)
        found = search(model.step, model.start(list(range(20))), SPECIALS, config)
        return sum(len({pair for h in hyps for pair in itertools.pairwise(h.tokens)}) for hyps in found)

    assert distinct(3.0) > distinct(0.5) > distinct(0.001)


def test_of_many_drawn_captions_the_likeliest_are_kept_each_once() -> None:
    model = HashModel(2, 5, 3.0)
    all_drawn = SearchConfig(sample=True, num_captions=60, max_length=6, length_penalty=0.7)
    kept = replace(all_drawn, num_captions=4, draws=60)
    every = search(model.step, model.start([3, 5]), SPECIALS, all_drawn)
    best = search(model.step, model.start([3, 5]), SPECIALS, kept)
    for drawn, found in zip(every, best, strict=True):
        expected = list(dict.fromkeys(h.tokens for h in drawn))[:4]
        assert [h.tokens for h in found] == expected
        assert len(set(expected)) == 4


def test_where_few_captions_can_be_drawn_some_come_twice() -> None:
    model = HashModel(2, 1, 1.0)
    config = SearchConfig(sample=True, num_captions=5, draws=9, max_length=1, min_length=1)
    (found,) = search(model.step, model.start([3]), SPECIALS, config)
    assert len(found) == 5
