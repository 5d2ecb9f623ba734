"""The scripts in examples/ work, on tiny models and datasets."""

from __future__ import annotations

import csv
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import showtell

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def function_of(script: str) -> Callable[..., Any]:
    """The function that gives a script its name."""
    return runpy.run_path(str(EXAMPLES / f"{script}.py"))[script]


def test_caption_folder(
    tiny_model: Path, snippets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    for number, path in enumerate(snippets[:3]):
        (photos / ("sub" if number else ".") / path.name).write_bytes(path.read_bytes())
    (photos / "bad.jpg").write_bytes(b"no image")
    (photos / "notes.txt").write_text("no photo")
    output = tmp_path / "captions.csv"
    assert function_of("caption_folder")(photos, output, str(tiny_model)) == 3
    assert "bad.jpg" in capsys.readouterr().out
    with output.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = showtell.load(str(tiny_model))(snippets[:3])
    assert {row["image"]: row["caption"] for row in rows} == {
        str(Path("sub" if number else ".") / path.name): caption.text
        for number, (path, caption) in enumerate(zip(snippets, expected, strict=False))
    }


def test_train_on_my_photos(
    tiny_model: Path,
    snippets: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # the feature cache is made here
    rows = [f"{path},a dog runs over the lawn" for path in snippets[:12]]
    Path("mine").mkdir()
    Path("mine/captions.csv").write_text("\n".join(["image,caption", *rows]), encoding="utf-8")
    folder = function_of("train_on_my_photos")(Path("mine"), Path("run"), str(tiny_model), epochs=1)
    assert folder == Path("run")
    output = capsys.readouterr().out
    model = showtell.load(folder)
    assert "lawn" in model.vocabulary
    assert "before:" in output
    assert "after:" in output


def test_evaluate_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no Java: METEOR takes seconds to start
    texts = {1: "a dog runs over the grass", 2: "two men play guitar", 3: "a red car in a street"}
    annotations = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in texts],
        "annotations": [
            {"id": number, "image_id": number, "caption": text} for number, text in texts.items()
        ],
    }
    data, predictions = tmp_path / "captions_val2017.json", tmp_path / "captions.json"
    data.write_text(json.dumps(annotations), encoding="utf-8")
    evaluate = function_of("evaluate_predictions")
    scores = []
    for wrong in (0, 1):
        results = [{"image_id": n, "caption": "a cat sits" if n <= wrong else t} for n, t in texts.items()]
        predictions.write_text(json.dumps(results), encoding="utf-8")
        scores.append(evaluate(predictions, data, split="all"))
    assert scores[0] == pytest.approx(10)  # CIDEr-D of captions that equal their references
    assert scores[1] < scores[0]
    assert "BLEU-4" in capsys.readouterr().out
