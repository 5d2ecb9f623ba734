"""Scores of other packages: one figure an image, of words that the score may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from showtell.errors import PluginError
from showtell.evaluation import plugin_scores as module
from showtell.evaluation.plugin_scores import plugin_scores

CANDIDATES = [["a", "dog", "runs"], ["a", "cat"]]
REFERENCES = [[["a", "dog"], ["it", "runs"]], [["two", "cats"]]]

Score = Callable[..., Any]


def install(scores: dict[str, Score], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "plugin_names", lambda kind: sorted(scores) if kind == "scores" else [])
    monkeypatch.setattr(module, "load_plugin", lambda _, name: scores[name])


def length(candidates: list[list[str]], references: list[list[list[str]]]) -> list[int]:
    return [len(words) for words in candidates]


def closest(candidates: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    """Least difference of lengths; it spoils what it is given."""
    values = []
    for words, captions in zip(candidates, references, strict=True):
        values.append(float(min(abs(len(words) - len(caption)) for caption in captions)))
        words.clear()
        captions.clear()
    return values


def test_the_score_of_a_corpus_is_the_mean_of_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    install({"closest": closest, "length": length}, monkeypatch)
    scores = plugin_scores(CANDIDATES, REFERENCES)
    assert {name: statistic.value for name, statistic in scores.items()} == {"closest": 0.5, "length": 2.5}
    assert scores["closest"].images.tolist() == [1.0, 0.0]
    assert CANDIDATES[0] == ["a", "dog", "runs"], "the score had copies"
    assert REFERENCES[1] == [["two", "cats"]]


def test_without_plugins_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install({}, monkeypatch)
    assert plugin_scores(CANDIDATES, REFERENCES) == {}


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (lambda *_: [1.0], r"finite number for each of the 2 images, and gave an array of shape \(1,\)"),
        (lambda *_: 0.5, r"an array of shape \(\)"),
        (lambda *_: [[1.0, 2.0]], r"an array of shape \(1, 2\)"),
        (lambda *_: [1.0, float("inf")], "a finite number"),
        (lambda *_: ["x", "y"], "ValueError"),
        (lambda one: [1.0, 2.0], "TypeError"),
    ],
)
def test_scores_that_fail_are_named(score: Score, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install({"odd": score}, monkeypatch)
    with pytest.raises(PluginError, match=rf"plug-in odd \(showtell.scores\): .*{reason}"):
        plugin_scores(CANDIDATES, REFERENCES)
