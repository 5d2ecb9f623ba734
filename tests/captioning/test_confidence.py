"""The confidence of a caption: its features, its threshold, its file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.captioning.confidence import Calibration, caption_features, word_features


def test_features_of_a_small_caption() -> None:
    np.testing.assert_allclose(caption_features([-1.0, -3.0, -0.5]), [-1.5, -3.0, 2])
    np.testing.assert_allclose(word_features([-1.0, -3.0, -0.5]), [[-1, -1.5, 0, 0], [-3, -1.5, 1, -1]])
    assert word_features([-1.0]).shape == (0, 4)


def test_doubt_begins_below_the_threshold() -> None:
    calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.4)
    assert [calibration.is_doubtful(confidence) for confidence in (0.0, 0.39, 0.4, 1.0)] == [
        True,
        True,
        False,
        False,
    ]
    assert not Calibration((0.0,) * 4, (0.0,) * 5).is_doubtful(0.0)


def test_as_json_and_back() -> None:
    calibration = Calibration((0.5, -1.25, 0.0, 2.0), (1.0, 0.1, 0.0, -0.5, 0.25), 0.375)
    assert Calibration.from_json(json.loads(json.dumps(asdict(calibration)))) == calibration
    earlier = {"caption": list(calibration.caption), "word": list(calibration.word)}
    assert Calibration.from_json(earlier) == Calibration(calibration.caption, calibration.word, None)
    with pytest.raises((TypeError, ValueError)):
        Calibration.from_json(earlier | {"doubtful": [0.4]})


@pytest.mark.parametrize(
    "changed",
    [
        {"caption": [1.0] * 3},
        {"word": [1.0] * 6},
        {"caption": "abcd"},
        {"word": [1.0, 2.0, 3.0, 4.0, "5"]},
        {"word": [1.0, 2.0, 3.0, 4.0, True]},
        {"caption": [1e10, 0.0, 0.0, 0.0]},
        {"caption": [float("nan"), 0.0, 0.0, 0.0]},
        {"doubtful": 1.5},
        {"doubtful": True},
    ],
)
def test_damaged_calibrations_are_refused(changed: dict[str, object]) -> None:
    good = {"caption": [1.0] * 4, "word": [1.0] * 5, "doubtful": 0.5}
    assert Calibration.from_json(good).doubtful == 0.5
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_json(good | changed)
    with pytest.raises(ValueError, match="no object"):
        Calibration.from_json([good])  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(-20, 0), min_size=2, max_size=6),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.lists(st.floats(-3, 3), min_size=5, max_size=5),
)
def test_probabilities_are_those_of_a_logistic_regression(
    log_probs: list[float], caption: list[float], word: list[float]
) -> None:
    """Word by word, in plain Python."""
    calibration = Calibration(tuple(caption), tuple(word))
    mean = sum(log_probs) / len(log_probs)
    *words, _ = log_probs
    features = [mean, min(log_probs), len(words), 1.0]
    logit = sum(weight * value for weight, value in zip(caption, features, strict=True))
    assert calibration.caption_confidence(log_probs) == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-9)
    expected = []
    for place, value in enumerate(words):
        features = [value, mean, place, words[place - 1] if place else 0.0, 1.0]
        logit = sum(weight * each for weight, each in zip(word, features, strict=True))
        expected.append(1 / (1 + math.exp(-logit)))
    assert calibration.word_confidences(log_probs) == pytest.approx(expected, abs=1e-9)
