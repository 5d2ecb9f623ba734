"""What is a model's name, and what a file of predictions."""

from __future__ import annotations

from showtell.evaluation.settings import is_file, is_name


def test_files_of_predictions_are_known_by_their_suffix() -> None:
    names = ["mine.json", "MINE.JSONL", "a/b.csv", "runs/mine", "mine.txt", 5]
    assert [is_file(name) for name in names] == [True, True, True, False, False, False]
    assert [is_name(name) for name in names] == [True] * 5 + [False]
