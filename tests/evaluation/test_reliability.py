"""What is good and right, against pycocoevalcap and by hand; and whether a confidence holds."""

from __future__ import annotations

import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider

from showtell.errors import DataError
from showtell.evaluation.reliability import Reliability, caption_labels, word_labels

WORDS = ["a", "dog", "runs", "on", "grass", "boy", "ball", "sits", "the", "red"]


def test_good_is_what_three_of_four_people_reach_by_the_reference_scorer() -> None:
    random = np.random.default_rng(0)
    people = [[random.choice(WORDS, random.integers(3, 8)).tolist() for _ in range(4)] for _ in range(60)]
    candidates = [random.choice(WORDS, 6).tolist() for _ in people]

    def score(candidates: list[list[str]], references: list[list[list[str]]]) -> np.ndarray:
        return Cider().compute_score(
            {i: [" ".join(c) for c in captions] for i, captions in enumerate(references)},
            {i: [" ".join(candidate)] for i, candidate in enumerate(candidates)},
        )[1]

    human = np.concatenate(
        [
            score(
                [captions[k] for captions in people],
                [captions[:k] + captions[k + 1 :] for captions in people],
            )
            for k in range(4)
        ]
    )
    expected = score(candidates, people) >= np.quantile(human, 0.25)
    assert 0 < expected.sum() < 60
    assert caption_labels(candidates, people).tolist() == expected.tolist()


def test_images_may_have_one_caption_but_not_all() -> None:
    alone = [[["a", "dog"]]] * 30
    several = [[["a", word], ["the", word]] for word in "bcdefghijk"] * 5
    assert len(caption_labels([["a"]] * 80, alone + several)) == 80
    with pytest.raises(DataError, match="two captions"):
        caption_labels([["a"]] * 79, alone + several[1:])


def test_right_words_are_those_that_somebody_used() -> None:
    assert word_labels(["a", "red", "dog"], [["a", "dog"], ["dogs", "run"]]) == [True, False, True]


def test_bins_and_error_by_hand() -> None:
    predicted = np.array([0.9, 0.1, 0.8, 0.2, 0.3])
    reliability = Reliability(predicted, np.array([True, False, False, True, False]))
    assert reliability.bins(2) == [(pytest.approx(0.2), pytest.approx(1 / 3)), (pytest.approx(0.85), 0.5)]
    held = [0, 1, 0, 0, 1]
    gaps = [abs(p - h) for p, h in zip(sorted(predicted), held, strict=True)]
    assert reliability.ece == pytest.approx(np.mean(gaps))


def test_doubt_by_hand() -> None:
    predicted, right = np.array([0.9, 0.1, 0.3, 0.2]), np.array([True, False, True, False])
    measured = Reliability(predicted, right, np.array([False, True, True, True]))
    assert measured.doubtful_share == 0.75
    assert measured.doubtful_precision == pytest.approx(2 / 3)
    assert Reliability(predicted, right, np.zeros(4, bool)).doubtful_precision is None
    unknown = Reliability(predicted, right)
    assert (unknown.doubtful_share, unknown.doubtful_precision) == (None, None)
