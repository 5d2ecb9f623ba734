from __future__ import annotations

import shutil

import pytest

from showtell.evaluation import java_metrics
from showtell.evaluation.java_metrics import java_scores

CANDIDATES = {"a": "A man's dog runs on the grass.", "b": "two women (smiling) at a table"}
PEOPLE = {
    "a": ["a dog is running on grass", "The dog runs."],
    "b": ["Women sit at a table", "two ladies smile"],
}


def test_without_java_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(java_metrics, "_without_spice", java_metrics._without_java)
    scores, skipped_metrics = java_scores(CANDIDATES, PEOPLE)
    assert scores == {}
    assert skipped_metrics == dict.fromkeys(
        ("METEOR", "SPICE"), "no Java here: install a Java runtime, 8 or later"
    )


def test_a_failure_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> tuple[float, list[float]]:
        raise OSError("no room")

    for name in ("_without_meteor", "_without_spice"):
        monkeypatch.setattr(java_metrics, name, lambda: None)
    for name in ("_meteor", "_spice"):
        monkeypatch.setattr(java_metrics, name, fail)
    assert java_scores(CANDIDATES, PEOPLE) == ({}, dict.fromkeys(("METEOR", "SPICE"), "it failed: no room"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")
def test_meteor_is_the_references() -> None:
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    candidates = tokenizer.tokenize({i: [{"caption": c}] for i, c in CANDIDATES.items()})
    people = tokenizer.tokenize({i: [{"caption": c} for c in captions] for i, captions in PEOPLE.items()})
    scorer = Meteor()
    expected = scorer.compute_score(people, candidates)
    for pipe in (scorer.meteor_p.stdout, scorer.meteor_p.stderr):
        pipe.close()
    scorer.meteor_p.kill()
    scorer.meteor_p.wait()
    scores, skipped_metrics = java_scores(CANDIDATES, PEOPLE)
    assert scores["METEOR"][0] == pytest.approx(expected[0])
    assert scores["METEOR"][1] == pytest.approx(expected[1])
    assert "SPICE" in scores or "Stanford models" in skipped_metrics["SPICE"]
