"""Calibration, against pycocoevalcap, PyTorch and what calibration means."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from showtell.errors import DataError
from showtell.evaluation.confidence import (
    FEWEST,
    Calibration,
    Reliability,
    calibrate,
    caption_features,
    good_captions,
    right_words,
    word_features,
)

WORDS = ["a", "dog", "runs", "on", "grass", "boy", "ball", "sits", "the", "red"]


def draw(seed: int, number: int) -> tuple[list[list[float]], np.ndarray, list[list[bool]]]:
    """Captions that are good with a probability that depends on log-probabilities, as are their words."""
    random = np.random.default_rng(seed)
    log_probs = [(-random.exponential(1.0, random.integers(2, 12))).tolist() for _ in range(number)]
    good = random.random(number) < 1 / (1 + np.exp(-(2 + 2 * np.array([np.mean(v) for v in log_probs]))))
    right = [(random.random(len(v) - 1) < np.exp(0.5 * np.array(v[:-1]))).tolist() for v in log_probs]
    return log_probs, good, right


def test_good_is_what_three_of_four_people_reach_by_the_reference_scorer() -> None:
    random = np.random.default_rng(0)
    people = [[random.choice(WORDS, random.integers(3, 8)).tolist() for _ in range(4)] for _ in range(60)]
    said = [random.choice(WORDS, 6).tolist() for _ in people]

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
    expected = score(said, people) >= np.quantile(human, 0.25)
    assert 0 < expected.sum() < 60
    assert good_captions(said, people).tolist() == expected.tolist()


def test_pictures_may_have_one_caption_but_not_all() -> None:
    alone = [[["a", "dog"]]] * 30
    several = [[["a", word], ["the", word]] for word in "bcdefghijk"] * 5
    assert len(good_captions([["a"]] * 80, alone + several)) == 80
    with pytest.raises(DataError, match="two captions"):
        good_captions([["a"]] * 79, alone + several[1:])


def test_right_words_are_those_that_somebody_used() -> None:
    assert right_words(["a", "red", "dog"], [["a", "dog"], ["dogs", "run"]]) == [True, False, True]


def test_features_of_a_small_caption() -> None:
    np.testing.assert_allclose(caption_features([-1.0, -3.0, -0.5]), [-1.5, -3.0, 2])
    np.testing.assert_allclose(word_features([-1.0, -3.0, -0.5]), [[-1, -1.5, 0, 0], [-3, -1.5, 1, -1]])
    assert word_features([-1.0]).shape == (0, 4)


def test_weights_are_those_of_a_logistic_regression_in_pytorch() -> None:
    log_probs, good, right = draw(1, 400)
    calibration, _ = calibrate(log_probs, good, right)
    inputs = torch.tensor(np.stack([caption_features(values) for values in log_probs]))
    yes, no = good.sum(), (~good).sum()
    targets = torch.tensor(np.where(good, (yes + 1) / (yes + 2), 1 / (no + 2)))
    weights = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    scale = inputs.std(dim=0, correction=0)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = inputs @ weights[:3] + weights[3]
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        value = value + 0.5e-3 * (weights[:3] * scale).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    assert calibration.caption == pytest.approx(weights.tolist(), rel=1e-3, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_promises_are_kept_on_the_whole(seed: int) -> None:
    log_probs, good, right = draw(seed, 300)
    calibration, found = calibrate(log_probs, good, right)
    captions = [calibration.of_caption(values) for values in log_probs]
    words = [promise for values in log_probs for promise in calibration.of_words(values)]
    assert np.mean(captions) == pytest.approx(good.mean(), abs=0.01)
    assert np.mean(words) == pytest.approx(np.mean([r for row in right for r in row]), abs=0.01)
    for reliability in found.values():
        assert reliability.error < 0.12
        assert ((reliability.promised > 0) & (reliability.promised < 1)).all()
    drawn_first = np.corrcoef(found["captions"].promised, captions)[0, 1]
    assert drawn_first > 0.8  # in the order of the captions


def test_a_promise_does_not_know_its_own_outcome() -> None:
    log_probs, good, right = draw(2, 200)
    _, before = calibrate(log_probs, good, right)
    fold = np.arange(200) % 5 == 3
    _, after = calibrate(
        log_probs,
        np.where(fold, ~good, good),
        [[not r for r in row] if out else row for row, out in zip(right, fold, strict=True)],
    )
    of_words = np.repeat(fold, [len(row) for row in right])
    for name, own in (("captions", fold), ("words", of_words)):
        np.testing.assert_allclose(after[name].promised[own], before[name].promised[own])
        assert np.abs(after[name].promised[~own] - before[name].promised[~own]).max() > 0.01


@pytest.mark.parametrize("held", [True, False])
def test_where_all_or_none_are_right_it_stays_finite(held: bool) -> None:
    log_probs, _, right = draw(3, 100)
    calibration, found = calibrate(log_probs, [held] * 100, [[held] * len(row) for row in right])
    promise = calibration.of_caption(log_probs[0])
    assert (0.9 < promise < 1) if held else (0 < promise < 0.1)
    assert found["captions"].error < 0.05


def test_too_little_to_calibrate_with() -> None:
    log_probs, good, right = draw(4, FEWEST)
    calibrate(log_probs, good, right)
    with pytest.raises(DataError, match="too few"):
        calibrate(log_probs[1:], good[1:], right[1:])
    with pytest.raises(DataError, match="without words"):
        calibrate([[-1.0]] * FEWEST, good, [[]] * FEWEST)


def test_bins_and_error_by_hand() -> None:
    promised = np.array([0.9, 0.1, 0.8, 0.2, 0.3])
    reliability = Reliability(promised, np.array([True, False, False, True, False]))
    assert reliability.bins(2) == [(pytest.approx(0.2), pytest.approx(1 / 3)), (pytest.approx(0.85), 0.5)]
    held = [0, 1, 0, 0, 1]
    gaps = [abs(p - h) for p, h in zip(sorted(promised), held, strict=True)]
    assert reliability.error == pytest.approx(np.mean(gaps))


def test_as_json_and_back() -> None:
    calibration, _ = calibrate(*draw(5, 60))
    assert Calibration.from_json(json.loads(json.dumps(asdict(calibration)))) == calibration
