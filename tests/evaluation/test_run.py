"""Evaluating models and files of predictions in Python: on which images, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import showtell
from showtell.captioning.caption import Caption, CaptionResult
from showtell.config import DataConfig, SearchConfig
from showtell.data.prepare import prepare_data
from showtell.data.records import CaptionedImage, Split
from showtell.data.splits import by_split
from showtell.errors import ImageError, ShowtellError, UsageError
from showtell.evaluation.results import DatasetEvaluation
from showtell.evaluation.run import evaluate, results_folder, score_all
from tests.commands.photo_folder import make_photo_folder
from tests.evaluation.animals import VAL_ONLY, WORDS, write_animals, write_results
from tests.evaluation.results_data import make_captions, make_data, make_evaluation


@pytest.fixture
def animals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_animals(tmp_path / "animals")


def model_that_says(caption_of: Callable[[CaptionedImage], str | None], **attributes: Any) -> Any:
    """A model whose captions are given; without one, an image cannot be decoded."""

    def stream(images: Iterable[CaptionedImage], search: SearchConfig, **_: Any) -> Iterator[CaptionResult]:
        for image in images:
            text = caption_of(image)
            if text is None:
                yield CaptionResult(image, (), ImageError(image.path.name, "truncated"))
            else:
                yield CaptionResult(
                    image, (Caption(text, tuple(text.split()), (-1.0,)),) * search.num_captions
                )

    return SimpleNamespace(
        **{"name": None, "has_attention": False, "calibration": None, "caption_stream": stream} | attributes
    )


def test_a_model_captions_the_validation_images(animals: Path) -> None:
    asked: list[str] = []

    def say(image: CaptionedImage) -> str:
        asked.append(image.image_id)
        return image.captions[0]

    result = evaluate(model_that_says(say), "animals", java=False)
    assert asked == [str(n) for n in range(1, 7)]
    assert result.scores["BLEU-4"] == pytest.approx(1)
    (dataset,) = result.datasets
    assert dataset.captions[0].name == "SimpleNamespace", "a model without a name goes by its class"
    assert dataset.cards[0].search == "beam 3"
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("split", "images", "novel"), [("train", 5, None), ("val", 6, 1 / 6), ("test", 1, 1.0), ("all", 12, None)]
)
def test_the_split_decides_images_and_novelty(
    animals: Path, split: Any, images: int, novel: float | None
) -> None:
    """One training photo of six is put into the split test, so that its caption is new."""
    result = evaluate(model_that_says(lambda image: image.captions[0]), "animals", split=split, java=False)
    assert result.datasets[0].cards[0].images == images
    assert result.scores.get("novel") == (None if novel is None else pytest.approx(novel))


def test_photos_that_cannot_be_decoded_stop_it_or_are_counted(animals: Path) -> None:
    model = model_that_says(lambda image: None if image.image_id == "3" else "a dog", name="mine")
    with pytest.raises(ShowtellError, match=r"000000000003.jpg: truncated; replace it, .*--skip-bad"):
        evaluate(model, "animals", java=False)
    result = evaluate(model, "animals", java=False, skip_bad=True)
    assert result.datasets[0].cards[0].skipped == {"photo that cannot be decoded": 1}
    assert result.datasets[0].cards[0].images == 5
    with pytest.raises(ShowtellError, match="no photo of the split can be decoded"):
        evaluate(model_that_says(lambda _: None), "animals", java=False, skip_bad=True)


def test_each_dataset_is_reported_as_soon_as_it_is_done(animals: Path) -> None:
    reported: list[DatasetEvaluation] = []
    result = evaluate(
        predictions=write_results(Path("mine.json")), data="animals", java=False, on_dataset=reported.append
    )
    assert tuple(reported) == result.datasets


def test_captions_of_a_model_are_references_where_asked_for(animals: Path) -> None:
    file = animals / "annotations" / "captions_val2017.json"
    content = json.loads(file.read_text())
    content["annotations"] += [
        {"id": 900 + n, "image_id": n, "caption": f"robot {word}", "source": "model"}
        for n, word in enumerate(WORDS, start=1)
    ]
    file.write_text(json.dumps(content))
    robot = model_that_says(lambda image: f"robot {WORDS[int(image.image_id) - 1]}")
    scores = {
        references: evaluate(robot, "animals", java=False, references=references).scores["BLEU-1"]
        for references in (None, "person", "all")
    }
    assert scores[None] == scores["person"] < scores["all"] == pytest.approx(1)


def write_run(settings: str) -> str:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/config.yaml").write_text(settings)
    return "runs/mine"


def test_without_data_it_is_that_of_the_run(animals: Path) -> None:
    run = write_run("data: {root: animals, references: person}")
    model = model_that_says(lambda image: image.captions[0], name=run)
    assert evaluate(model, java=False).datasets[0].data.name == "animals"


@pytest.mark.usefixtures("animals")
def test_without_data_predictions_are_of_the_data_of_the_run_to_compare_with() -> None:
    run = write_run("data: {root: animals}")
    other = model_that_says(lambda image: image.captions[0], name=run)
    result = evaluate(predictions=write_results(Path("mine.json")), against=other, java=False)
    assert result.datasets[0].data.name == "animals"


@pytest.mark.usefixtures("animals")
def test_without_any_data_the_fix_is_to_name_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_DATA", "nowhere")
    file = str(write_results(Path("mine.json")))
    for keywords in ({}, {"model": "everyday"}, {"predictions": file}):
        with pytest.raises(UsageError, match=r"name yours with --data FOLDER.*showtell data get flickr8k"):
            evaluate(**keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["val", "test", "train"])
def test_a_split_that_the_data_lack_is_that_of_training(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_photo_folder(tmp_path / "photos")
    trained = by_split(prepare_data(DataConfig(str(folder)), tmp_path).images, split)
    lines = [{"image": image.image_id, "caption": "a red dog"} for image in trained]
    Path("mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = evaluate(predictions="mine.jsonl", data=folder, split=split, java=False)
    assert result.datasets[0].data.images == trained


@pytest.mark.usefixtures("animals")
def test_a_split_without_images_names_those_that_have_some() -> None:
    with pytest.raises(UsageError, match="no images in the split 'test'; choose val or all"):
        evaluate(predictions=write_results(Path("mine.json")), data=VAL_ONLY, split="test")


@pytest.mark.parametrize("settings", ["- 1", "data: 5", "data: {rot: x}", "{", "training: {epochs: 3}"])
def test_damaged_settings_of_a_run_are_one_line(settings: str, animals: Path) -> None:
    model = model_that_says(lambda image: "a dog", name=write_run(settings))
    with pytest.raises(UsageError, match=r"runs/mine/config.yaml: damaged .*name the data") as raised:
        evaluate(model, java=False)
    assert "\n" not in str(raised.value)


def test_two_sets_without_a_common_image_cannot_be_compared() -> None:
    first, second = make_captions("a.json", only=2), make_captions("b.json")
    second.texts.pop("1")
    second.texts.pop("2")
    with pytest.raises(ShowtellError, match="no image has captions of both"):
        score_all([first, second], make_data(), java=False)


@pytest.mark.parametrize(
    ("out", "several", "folder"),
    [
        (None, False, "reports/animals-val"),
        (None, True, "reports/animals-val"),
        ("here", False, "here"),
        ("here", True, "here/animals-val"),
    ],
)
def test_the_folder_of_the_results(out: str | None, several: bool, folder: str) -> None:
    evaluation = make_evaluation(make_captions("a.json"))
    one = DatasetEvaluation(
        evaluation.data, evaluation.captions, evaluation.model_scores, evaluation.cards, several
    )
    assert results_folder(out, one) == Path(folder)


@pytest.mark.usefixtures("animals")
@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"spilt": "val"}, "no argument 'spilt'; did you mean 'split'"),
        ({"split": "dev"}, "split 'dev': take one of train, val"),
        ({"beam_size": 0}, "beam_size must be at least 1"),
        ({"model": 5}, "not int"),
        ({"references": "robots"}, "references 'robots'"),
        ({"predictions": "mine.txt"}, "mine.txt: predictions are read from .json"),
        ({"model": "runs/a", "against": "runs/a"}, "that is the model itself"),
        ({"predictions": "mine.json", "image_size": 96}, "image_size is for models that are named"),
        ({"predictions": "mine.json", "model": "everyday"}, "to compare them, name the model with --against"),
        ({"model": "runs/a", "image_size": 7}, "image size 7"),
    ],
)
def test_mistakes_in_evaluate_get_one_line(keywords: dict[str, object], reason: str) -> None:
    for function in (showtell.evaluate, showtell.report):
        with pytest.raises(UsageError, match=reason):
            function(**{"data": "animals", **keywords})  # type: ignore[arg-type]
