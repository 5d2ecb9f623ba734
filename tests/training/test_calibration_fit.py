"""Calibration, against PyTorch and what calibration means; the threshold of doubt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.confidence import caption_features
from showtell.errors import DataError
from showtell.evaluation.reliability import MIN_CALIBRATION_IMAGES
from showtell.training.calibration_fit import calibrate, choose_doubtful_threshold


def draw(seed: int, number: int) -> tuple[list[list[float]], np.ndarray, list[list[bool]]]:
    """Captions that are good with a probability that depends on log-probabilities, as are their words."""
    random = np.random.default_rng(seed)
    log_probs = [(-random.exponential(1.0, random.integers(2, 12))).tolist() for _ in range(number)]
    good = random.random(number) < 1 / (1 + np.exp(-(2 + 2 * np.array([np.mean(v) for v in log_probs]))))
    right = [(random.random(len(v) - 1) < np.exp(0.5 * np.array(v[:-1]))).tolist() for v in log_probs]
    return log_probs, good, right


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


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_the_mean_probability_is_the_share_that_is_right(seed: int) -> None:
    log_probs, good, right = draw(seed, 300)
    calibration, measured = calibrate(log_probs, good, right)
    captions = [calibration.caption_confidence(values) for values in log_probs]
    words = [probability for values in log_probs for probability in calibration.word_confidences(values)]
    assert np.mean(captions) == pytest.approx(good.mean(), abs=0.01)
    assert np.mean(words) == pytest.approx(np.mean([r for row in right for r in row]), abs=0.01)
    for reliability in measured[""].values():
        assert reliability.ece < 0.12
        assert ((reliability.predicted > 0) & (reliability.predicted < 1)).all()
    drawn_first = np.corrcoef(measured[""]["captions"].predicted, captions)[0, 1]
    assert drawn_first > 0.8  # in the order of the captions


def test_a_probability_does_not_depend_on_its_own_outcome() -> None:
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
        np.testing.assert_allclose(after[""][name].predicted[own], before[""][name].predicted[own])
        assert np.abs(after[""][name].predicted[~own] - before[""][name].predicted[~own]).max() > 0.01


@pytest.mark.parametrize("held", [True, False])
def test_where_all_or_none_are_right_it_stays_finite(held: bool) -> None:
    log_probs, _, right = draw(3, 100)
    calibration, measured = calibrate(log_probs, [held] * 100, [[held] * len(row) for row in right])
    probability = calibration.caption_confidence(log_probs[0])
    assert (0.9 < probability < 1) if held else (0 < probability < 0.1)
    assert measured[""]["captions"].ece < 0.05


def test_too_little_to_calibrate_with() -> None:
    log_probs, good, right = draw(4, MIN_CALIBRATION_IMAGES)
    calibrate(log_probs, good, right)
    with pytest.raises(DataError, match="too few"):
        calibrate(log_probs[1:], good[1:], right[1:])
    with pytest.raises(DataError, match="without words"):
        calibrate([[-1.0]] * MIN_CALIBRATION_IMAGES, good, [[]] * MIN_CALIBRATION_IMAGES)


def test_datasets_weigh_the_same_however_large_they_are() -> None:
    log_probs, good, right = draw(6, 120)
    small, large = slice(0, 60), slice(60, 120)
    many = [log_probs[small], *[log_probs[large]] * 5]
    several, measured = calibrate(
        [values for part in many for values in part],
        np.concatenate([good[small], *[good[large]] * 5]),
        [row for part in [right[small], *[right[large]] * 5] for row in part],
        ["small"] * 60 + ["large"] * 300,
    )
    alone, _ = calibrate(
        log_probs[small] * 5 + log_probs[large] * 5,
        np.concatenate([*[good[small]] * 5, *[good[large]] * 5]),
        right[small] * 5 + right[large] * 5,
    )
    for values in log_probs:  # Platt's targets and the scale of the decay know how many there are
        assert several.caption_confidence(values) == pytest.approx(alone.caption_confidence(values), abs=0.01)
        assert several.word_confidences(values) == pytest.approx(alone.word_confidences(values), abs=0.01)
    assert {name: len(parts["captions"].labels) for name, parts in measured.items()} == {
        "small": 60,
        "large": 300,
    }
    assert measured["small"]["captions"].labels.tolist() == good[small].tolist()
    assert measured["large"]["words"].labels.tolist() == [r for row in right[large] for r in row] * 5


def test_the_threshold_by_hand() -> None:
    predicted = np.linspace(0.005, 0.995, 100)
    names = np.array(["a"] * 100)
    good = np.ones(100, bool)
    good[:20] = False  # 20 of the first 29 are 2/3 and more, of the first 31 less
    assert choose_doubtful_threshold(predicted, good, names) == 0.30
    assert (
        choose_doubtful_threshold(predicted, np.zeros(100, bool), names) == 0.5
    )  # not higher, if none is good
    assert (
        choose_doubtful_threshold(predicted, np.arange(100) % 2 == 1, names) == 0.09
    )  # with fewer than ten, none asks
    every = np.array(["a", "b"] * 50)
    good[:20:2] = True  # all of a are good: from ten on it objects
    assert choose_doubtful_threshold(predicted, good, every) == 0.18
    assert choose_doubtful_threshold(np.full(100, 0.001), good | True, every) is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_at_least_two_of_three_doubtful_captions_are_not_good_in_each_dataset(
    seed: int, several: int
) -> None:
    random = np.random.default_rng(seed)
    predicted = random.random(400) ** random.uniform(0.5, 2)
    good = random.random(400) < predicted ** random.uniform(0.5, 2)
    names = random.choice(list("abc")[:several], 400)
    threshold = choose_doubtful_threshold(predicted, good, names)
    assert threshold is None or 0 < threshold <= 0.5

    def holds(limit: float) -> bool:
        for name in names:
            below = good[(names == name) & (predicted < limit)].tolist()
            if len(below) >= 10 and below.count(False) < 2 * below.count(True):
                return False
        return True

    assert threshold is None or holds(threshold)
    larger = [limit / 100 for limit in range(50, 0, -1) if threshold is None or limit / 100 > threshold]
    assert not any(map(holds, larger))


def test_whether_a_caption_is_doubtful_does_not_depend_on_its_own_outcome() -> None:
    log_probs, good, right = draw(7, 400)
    fold = np.arange(400) % 5 == 1
    calibration, before = calibrate(log_probs, good, right)
    _, after = calibrate(log_probs, np.where(fold, ~good, good), right)
    first, second = before[""]["captions"], after[""]["captions"]
    assert first.doubtful is not None
    assert second.doubtful is not None
    assert first.doubtful[fold].tolist() == second.doubtful[fold].tolist()
    assert first.doubtful.tolist() != second.doubtful.tolist()
    assert calibration.doubtful is not None
    assert first.doubtful_precision == pytest.approx(2 / 3, abs=0.1)
    assert before[""]["words"].doubtful is None
