"""Scores as files that later runs are compared with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from showtell.errors import DataError
from showtell.evaluation.scorecard import ScoreCard, earlier_cards, file_stem
from showtell.evaluation.scores import (
    compute_scores,
)

REFERENCES = {
    str(n): (f"A {color} {animal} runs.", f"The {animal} is {color}!")
    for n, (color, animal) in enumerate((c, a) for c in ("black", "white") for a in ("dog", "horse", "bird"))
}
CANDIDATES = {image: (captions[0].replace("runs", "stands"),) for image, captions in REFERENCES.items()}


def test_cards_are_kept_and_found_again(tmp_path: Path) -> None:
    def card(model: str, candidates: dict[str, tuple[str, ...]]) -> ScoreCard:
        return ScoreCard.of(
            compute_scores(candidates, REFERENCES, java=False), model=model, data="animals", split="val"
        )

    first = card("runs/a", CANDIDATES)
    assert ScoreCard.load(first.save(tmp_path)) == first
    assert first.intervals["BLEU-4"].low <= first.values["BLEU-4"] <= first.intervals["BLEU-4"].high
    card("runs/b", {"1": ("a dog",)}).save(tmp_path)  # of other images
    (tmp_path / "other.json").write_text(json.dumps([1]))
    second = card("c", CANDIDATES)
    assert earlier_cards(tmp_path, second) == [first]
    with pytest.raises(DataError, match=r"other\.json: these are no scores"):
        ScoreCard.load(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("model", "stem"),
    [
        ("runs/mine", "runs-mine"),
        ("/runs/mine_1", "runs-mine_1"),
        ("everyday@224", "everyday-224"),
        ("runs/模型一", "runs-模型一"),
        ("../x y.json", r"x-y\.json-[0-9a-f]{8}"),
        ("///", "[0-9a-f]{8}"),
        ("a,b", "a-b-[0-9a-f]{8}"),
        ("a" * 300, "a{80}-[0-9a-f]{8}"),
    ],
)
def test_names_of_files(model: str, stem: str) -> None:
    assert re.fullmatch(stem, file_stem(model))


def test_models_of_similar_names_have_files_of_their_own() -> None:
    models = ["runs/a b", "runs/a,b", "runs/a-b", "../runs/a-b", "a" * 300, "a" * 301]
    assert len(set(map(file_stem, models))) == len(models)


@pytest.mark.parametrize(
    ("search", "title"),
    [("beam 3", "mine on 2 images of animals (val, beam 3)"), ("", "mine on 2 images of animals (val)")],
)
def test_the_title_has_what_was_done(search: str, title: str) -> None:
    scores = compute_scores({image: CANDIDATES[image] for image in "01"}, REFERENCES, java=False)
    card = ScoreCard.of(
        scores, model="mine", data="animals", split="val", search=search, skipped={"empty caption": 2}
    )
    assert card.title == title
    assert card.skipped == {"empty caption": 2}
    assert card.left_out.keys() == scores.skipped_metrics.keys()


def test_cards_of_the_same_images_have_one_fingerprint() -> None:
    def fingerprint(images: str) -> str:
        scores = compute_scores({image: CANDIDATES[image] for image in images}, REFERENCES, java=False)
        return ScoreCard.of(scores, model="m", data="d", split="s").fingerprint

    assert fingerprint("01") == fingerprint("01") != fingerprint("02")
