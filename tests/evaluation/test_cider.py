"""CIDEr-D agrees with `pycocoevalcap`, caption by caption, and a batch with its captions one by one."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import CiderScorer

from showtell.data.annotations import load_annotations
from showtell.data.tokenizer import tokenize
from showtell.errors import DataError
from showtell.evaluation.cider import CiderD, cider, cider_d

Caption = list[int]
Corpus = list[tuple[Caption, list[Caption]]]  # for each image a candidate and the references

captions = st.lists(st.integers(0, 5), max_size=9)
corpora = st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=4)), min_size=1, max_size=6)


def text(caption: Caption) -> str:
    return " ".join(map(str, caption))


def reference_scores(corpus: Corpus) -> np.ndarray:
    """Scores of `pycocoevalcap`; its sanity check refuses a corpus without any word, and so is passed by."""
    scorer = CiderScorer()
    for candidate, references in corpus:
        scorer += (text(candidate), [text(reference) for reference in references])
    scorer.compute_doc_freq()
    return np.array(scorer.compute_cider())


def pad(candidates: list[Caption], filler: int = 0) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(candidate) for candidate in candidates], int)
    padded = np.full((len(candidates), lengths.max(initial=0)), filler)
    for row, candidate in zip(padded, candidates, strict=True):
        row[: len(candidate)] = candidate
    return padded, lengths


def our_scores(corpus: Corpus, filler: int = 0) -> np.ndarray:
    scorer = CiderD([references for _, references in corpus])
    return scorer.score(np.arange(len(corpus)), *pad([candidate for candidate, _ in corpus], filler))


def assert_agrees(corpus: Corpus) -> np.ndarray:
    ours = our_scores(corpus)
    np.testing.assert_allclose(ours, reference_scores(corpus), rtol=0, atol=1e-9)
    return ours


@given(corpora)
@settings(max_examples=30, deadline=None)
def test_agrees_on_any_corpus(corpus: Corpus) -> None:
    assert_agrees(corpus)


@given(corpora, st.integers(-5, 5))
@settings(max_examples=30, deadline=None)
def test_padding_and_the_names_of_words_do_not_matter(corpus: Corpus, filler: int) -> None:
    names = [-(2**63), 2**63 - 1, 2**31, 2**32, -1, 7]  # any integers, in an order of their own
    renamed = [([names[w] for w in c], [[names[w] for w in r] for r in refs]) for c, refs in corpus]
    np.testing.assert_allclose(our_scores(corpus, filler), our_scores(renamed), rtol=0, atol=1e-9)


@given(corpora, st.data())
@settings(max_examples=30, deadline=None)
def test_batches_in_any_order_equal_one_by_one(corpus: Corpus, data: st.DataObject) -> None:
    scorer = CiderD([references for _, references in corpus])
    pairs = data.draw(st.lists(st.tuples(st.integers(0, len(corpus) - 1), captions), max_size=12))
    images = np.array([image for image, _ in pairs], int)
    together = scorer.score(images, *pad([candidate for _, candidate in pairs]))
    alone = [scorer.score([image], *pad([candidate]))[0] for image, candidate in pairs]
    assert together.shape == (len(pairs),)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-9)


OTHERS: Corpus = [([1, 2], [[1, 2, 3, 4, 5], [1, 2, 3]]), ([9, 8], [[6, 7, 8, 9], [8, 9]])]


@pytest.mark.parametrize(
    ("candidate", "references"),
    [
        pytest.param([], [[1, 2, 3, 4, 5]], id="empty candidate"),
        pytest.param([4], [[4], [5, 4]], id="one word"),
        pytest.param([4, 5, 6], [[4, 5, 6, 7, 8]], id="shorter than the longest n-gram"),
        pytest.param([4, 4, 4, 4, 4, 4], [[4, 5, 6], [4, 4, 7]], id="repeated words"),
        pytest.param([70, 4, 70, 4, 70, 4, 5], [[4, 5, 6, 4]], id="repeated words in no reference"),
        pytest.param([70, 71], [[4, 5, 6, 7]], id="nothing in common"),
        pytest.param([4, 5, 6, 7], [[4, 5, 6, 7], [4, 5, 6, 7]], id="references alike"),
        pytest.param([4, 5], [[4, 5, 6]] + [[4, 5, 6, 7]] * 6, id="more references than other images"),
        pytest.param([4, 5], [[], [4, 5]], id="empty reference"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [[1, 2, 3]], id="too long"),
    ],
)
def test_edge_cases(candidate: Caption, references: list[Caption]) -> None:
    assert_agrees([(candidate, references), *OTHERS])


def test_by_hand() -> None:
    """Two images, words told apart by one: each n-gram weighs log 2, so its cosine is a share of n-grams."""
    corpus: Corpus = [([1, 2, 3, 9], [[1, 2, 3, 4]]), ([5, 6, 7, 8], [[5, 6, 7, 8]])]
    assert our_scores(corpus) == pytest.approx([10 * (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4, 10])
    longer: Corpus = [([1, 2, 3, 4], [[1, 2, 3, 4, 5, 6]]), ([7], [[8]])]
    cosines = (np.sqrt(4 / 6), np.sqrt(3 / 5), np.sqrt(2 / 4), np.sqrt(1 / 3))
    assert our_scores(longer)[0] == pytest.approx(10 * np.mean(cosines) * np.exp(-(2**2) / (2 * 6**2)))


def test_one_image_scores_zero() -> None:
    """All its n-grams are in all images, so nothing weighs anything."""
    assert assert_agrees([([1, 2, 3], [[1, 2, 3]])]) == [0]


def test_corpus_without_words_scores_zero() -> None:
    assert assert_agrees([([], [[]]), ([1], [[]])]).tolist() == [0, 0]


def test_end_token_as_a_word() -> None:
    """With the end counted, a caption that stops too early scores less than one that ends as people's do."""
    end = 0
    scorer = CiderD([[[1, 2, 3, end], [4, 2, 3, end]], [[1, 5, 6, 1, 7, end]]])
    whole, broken = scorer.score([0, 0], [[1, 2, 3, end, end], [1, 2, 3, 1, end]], [4, 5])
    unfinished = scorer.score([0], [[1, 2, 3]], [3])[0]
    assert whole > broken
    assert whole > unfinished > 0


def test_strings_are_words_too() -> None:
    candidates = ["a dog runs", "two cats on a red sofa"]
    wanted = [["a dog runs fast", "the dog runs"], ["two cats sleep on a red sofa"]]
    mean, scores = Cider().compute_score(dict(enumerate(wanted)), {i: [c] for i, c in enumerate(candidates)})
    ours = cider_d(
        [c.split() for c in candidates], [[r.split() for r in references] for references in wanted]
    )
    np.testing.assert_allclose(ours, scores, rtol=0, atol=1e-9)
    assert ours.mean() == pytest.approx(mean, abs=1e-9)


def test_survives_pickling() -> None:
    scorer = CiderD([references for _, references in OTHERS])
    batch = ([1, 0], [[8, 9, 0], [1, 2, 3]], [2, 3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scorer)).score(*batch), scorer.score(*batch))


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(DataError, match="no references"):
        CiderD([])
    with pytest.raises(DataError, match="image 1 has no references"):
        CiderD([[[1]], []])
    with pytest.raises(DataError, match="2 candidates for 1 images"):
        cider_d(["a", "b"], [["a"]])
    scorer = CiderD([[[1, 2]], [[3]]])
    with pytest.raises(DataError, match=r"\(2,\).*\(1, 2\)"):
        scorer.score([0, 1], [[1, 2]], [2])
    with pytest.raises(DataError, match=r"\(2,\)"):
        scorer.score([0, 1], [1, 2], [1, 1])
    for image in (-1, 2):
        with pytest.raises(DataError, match=r"images in 0\.\.1"):
            scorer.score([image], [[1, 2]], [2])
    for length in (-1, 3):
        with pytest.raises(DataError, match=r"lengths in 0\.\.2"):
            scorer.score([0], [[1, 2]], [length])


def test_agrees_on_real_captions(shared_data: Path) -> None:
    images = [i for i in load_annotations(shared_data / "flickr8k").images if i.split == "val"][:300]
    words = [[tokenize(caption) for caption in image.captions] for image in images]
    wanted = {i: [" ".join(c) for c in captions[1:]] for i, captions in enumerate(words)}
    mean, scores = Cider().compute_score(wanted, {i: [" ".join(c[0])] for i, c in enumerate(words)})
    ours = cider_d([captions[0] for captions in words], [captions[1:] for captions in words])
    np.testing.assert_allclose(ours, scores, rtol=0, atol=1e-6)
    assert ours.mean() == pytest.approx(mean, abs=1e-6)


def plain_cider(corpus: Corpus) -> list[float]:
    """CIDEr by its definition: ten times the mean cosine of TF-IDF vectors of n-grams of 1 to 4 words."""

    def vector(words: Caption, n: int) -> dict[tuple[int, ...], float]:
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        return {
            gram: grams.count(gram)
            * np.log(len(corpus) / max(1, sum(any(has(r, gram) for r in refs) for _, refs in corpus)))
            for gram in grams
        }

    def has(words: Caption, gram: tuple[int, ...]) -> bool:
        return any(tuple(words[i : i + len(gram)]) == gram for i in range(len(words)))

    def cosine(one: dict[tuple[int, ...], float], other: dict[tuple[int, ...], float]) -> float:
        norms = [np.sqrt(sum(value**2 for value in v.values())) for v in (one, other)]
        if not all(norms):
            return 0.0
        return float(sum(value * other.get(gram, 0) for gram, value in one.items()) / np.prod(norms))

    return [
        10
        * float(
            np.mean([cosine(vector(candidates, n), vector(r, n)) for n in range(1, 5) for r in references])
        )
        for candidates, references in corpus
    ]


@given(corpora)
@settings(max_examples=30, deadline=None)
def test_plain_cider_is_what_its_paper_says(corpus: Corpus) -> None:
    candidates, references = [candidate for candidate, _ in corpus], [wanted for _, wanted in corpus]
    np.testing.assert_allclose(cider(candidates, references), plain_cider(corpus), rtol=0, atol=1e-9)
