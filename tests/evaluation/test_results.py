"""Results as text, plain values, data frames and files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from showtell.captioning.caption import Caption
from showtell.errors import ShowtellError, UsageError
from showtell.evaluation.results import Evaluation, ModelCaptions
from showtell.evaluation.scorecard import ScoreCard
from showtell.evaluation.scores import Confidence
from tests.evaluation.results_data import make_captions, make_data, make_evaluation


def rows_of(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_the_table_of_one_model() -> None:
    text = str(make_evaluation(make_captions("mine.json")))
    assert text.splitlines()[0] == "mine.json on 4 images of animals (val)"
    assert rows_of(text)["BLEU-1"] == ["1.000", "1.000", "to", "1.000"]
    assert "skipped metric: METEOR" in text
    assert "against" not in text


def test_dropped_entries_and_missing_captions_are_counted() -> None:
    captions = make_captions("mine.json", only=3, no_caption_of_an_image=1, caption_of_an_unknown_image=1200)
    text = str(make_evaluation(captions))
    assert "dropped 1: no caption of an image" in text
    assert "dropped 1,200: caption of an unknown image" in text
    assert "1 images have no caption and are not scored" in text


def test_two_models_are_compared_on_the_images_that_both_have() -> None:
    first, second = make_captions("a.json"), make_captions("b.json", "flies", only=2)
    evaluation = make_evaluation(first, second)
    assert [card.images for card in evaluation.cards] == [2, 2]
    assert evaluation.differences["BLEU-1"].value == pytest.approx(1 / 3)
    assert evaluation.scores["BLEU-1"] == pytest.approx(1)
    comparison = str(evaluation).partition("\nagainst b.json on 2 images")[2]
    assert rows_of(comparison)["BLEU-1"][:3] == ["1.000", "0.667", "+0.333"]


def test_plain_values_and_rows() -> None:
    evaluation = make_evaluation(make_captions("a.json"), make_captions("b.json", "flies"))
    values = json.loads(json.dumps(Evaluation((evaluation,)).to_dict()))
    (dataset,) = values["datasets"]
    assert (dataset["dataset"], dataset["split"]) == ("animals", "val")
    assert [card["model"] for card in dataset["models"]] == ["a.json", "b.json"]
    assert dataset["differences"]["BLEU-1"]["value"] == pytest.approx(1 / 3)
    rows = [row for row in evaluation.rows() if row["score"] == "BLEU-1"]
    assert [(row["model"], row["value"]) for row in rows] == [
        ("a.json", pytest.approx(1)),
        ("b.json", pytest.approx(2 / 3)),
    ]
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    frame = Evaluation((evaluation, evaluation)).to_pandas()
    assert len(frame) == 2 * len(list(evaluation.rows()))
    assert str(Evaluation((evaluation, evaluation))).count("a.json on 4 images") == 2


def test_scores_are_saved_a_file_a_model(tmp_path: Path) -> None:
    evaluation = make_evaluation(make_captions("a.json"), make_captions("b.json", "flies"))
    files = evaluation.save(tmp_path / "new")
    assert tuple(ScoreCard.load(file) for file in files) == evaluation.cards
    (tmp_path / "file").touch()
    with pytest.raises(ShowtellError, match="name another folder"):
        evaluation.save(tmp_path / "file" / "deep")


@pytest.mark.parametrize(("folder", "split"), [("val2017", "val2017"), ("photos", "val")])
def test_a_submission_is_named_after_the_folder_with_the_year(
    folder: str, split: str, tmp_path: Path
) -> None:
    evaluation = make_evaluation(make_captions("a.json"), data=make_data(folder))
    path = evaluation.write_submission(tmp_path, "mine")
    assert path.name == f"captions_{split}_mine_results.json"
    assert json.loads(path.read_text())[0] == {"image_id": 1, "caption": "a dog stands"}


def test_a_submission_needs_all_captions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of each image; 2 have none"):
        make_evaluation(make_captions("a.json", only=2)).write_submission(tmp_path, "mine")


def caption(confidence: float | None, doubtful: bool = False) -> Caption:
    return Caption("a dog", ("a", "dog"), (-1.0,) * 3, confidence=confidence, doubtful=doubtful)


def test_confidences_of_a_model_of_a_file_and_of_one_without() -> None:
    model = ModelCaptions(
        "m", {}, {"1": caption(0.75), "2": caption(0.25, True)}, Counter(), "beam 3", has_threshold=True
    )
    assert model.confidences == {"1": Confidence(0.75, False), "2": Confidence(0.25, True)}
    without_threshold = replace(model, has_threshold=False)
    assert without_threshold.confidences == {"1": Confidence(0.75, None), "2": Confidence(0.25, None)}
    assert replace(model, best={"1": caption(None)}).confidences == {}
    assert make_captions("file.json").confidences is None


def test_captions_without_spaces_are_segmented_by_character() -> None:
    captions = ModelCaptions("m", {"1": ("一只狗 runs", "狗")}, {}, Counter(), "")
    assert captions.segmented().texts == {"1": ("一 只 狗 runs", "狗")}
