from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.cli import main
from tests.commands.photo_folder import make_photo_folder
from tests.commands.test_caption import save_model
from tests.evaluation.animals import VAL_ONLY, WORDS, write_animals, write_results


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_animals(tmp_path / "animals")


def evaluate(*arguments: object) -> int:
    return main(["evaluate", "--java", "false", "--data", "animals", *map(str, arguments)])


def test_predictions_are_scored(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(Path("mine.json"))
    assert evaluate("--predictions", "mine.json") == 0
    shown = capsys.readouterr().out
    assert "mine.json on 6 images of animals (val)" in shown
    assert "BLEU-4             1.000   1.000 to 1.000" in shown
    assert "skipped metric: METEOR" in shown
    card = json.loads((data.parent / "reports" / "animals-val" / "mine.json.json").read_text())
    assert card["values"]["BLEU-1"] == pytest.approx(1)
    assert card["values"]["novel"] == 0  # the training photos are captioned alike


def test_references_need_no_photos(data: Path) -> None:
    results = write_results(data.parent / "mine.json")
    for image in (data / "val2017").iterdir():
        image.unlink()
    assert evaluate("--predictions", results) == 0
    assert evaluate("--predictions", results, "--data", VAL_ONLY) == 0


def test_two_files_are_compared(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_results(Path("first.json")), write_results(Path("second.json"), "flies")
    assert evaluate("--predictions", first, "--against", second) == 0
    shown = capsys.readouterr().out
    assert "against second.json on 6 images" in shown
    row = next(line for line in shown.splitlines() if line.startswith("BLEU-1") and "+" in line)
    assert row.split()[1:4] == ["1.000", "0.800", "+0.200"]


def test_a_submission_is_written_in_the_official_form(data: Path) -> None:
    assert (
        evaluate("--predictions", write_results(Path("mine.json")), "--submission", "mine", "--out", "o") == 0
    )
    written = json.loads(Path("o", "captions_val2017_mine_results.json").read_text())
    assert written[0] == {"image_id": 1, "caption": "a dog stands on grass"}
    assert len(written) == 6


@pytest.mark.parametrize(("name", "code"), [("mine", 1), ("my_name", 2)])
def test_what_cannot_be_a_submission_is_refused_before_anything_is_captioned(
    data: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    folder = make_photo_folder(data.parent / "photos")
    assert evaluate("--model", save_model(Path("mine")), "--data", folder, "--submission", name) == code
    shown = capsys.readouterr()
    assert "ids are COCO's numbers" in shown.err if name == "mine" else "letters, digits" in shown.err
    assert not shown.out
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--predictions", "none.json"), 2, "none.json: no such file of predictions"),
        (("--predictions", "mine.txt"), 2, "mine.txt: predictions are read from .json"),
        (
            ("--predictions", "mine.json", "--data", VAL_ONLY, "--split", "test"),
            2,
            "no images in the split 'test'",
        ),
        (("--predictions", "mine.json", "--against", "mine.json"), 2, "that is the model itself"),
        (("--predictions", "mine.json", "--model", "everyday"), 2, "name the model with --against"),
        (("--predictions", "mine.json", "--num-captions", "0"), 2, "must be at least 1"),
        (("--predictions", "unknown.json"), 1, "unknown.json: [6]: caption of an unknown image: '99'"),
        (("--predictions", "mine.json", "--submission", "my_name"), 2, "my_name"),
        (("--predictions", "mine.json", "--instances", "none.json"), 2, "none.json: no such file"),
        (("--model", "no-such-model"), 2, "no-such-model: no such model"),
        (("--model", "everyday", "--against", "none"), 2, "none: no such model"),
        (("--model", "everyday", "--against", "none.json"), 2, "none.json: no such file of predictions"),
    ],
)
def test_mistakes_get_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    write_results(Path("mine.json"))
    write_results(Path("unknown.json"), n99="a fish")
    assert evaluate(*arguments) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.partition(" ")[0] for line in lines] in (["error:"], ["Read", "error:"])
    assert message in lines[-1]


def test_broken_predictions_are_counted(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write_results(Path("unknown.json"), n99="a fish", n2="...")
    assert evaluate("--predictions", results, "--skip-bad") == 0
    shown = capsys.readouterr().out
    assert "on 6 images" in shown
    assert "dropped 1: caption of an unknown image" in shown
    assert "1: empty caption, counted as wrong" in shown
    assert re.search(r"BLEU-1 +0\.8", shown)
    results.write_text(json.dumps(json.loads(results.read_text())[:3]))
    assert evaluate("--predictions", results, "--skip-bad") == 0
    shown = capsys.readouterr().out
    assert "dropped 3: no caption of an image\n3 images have no caption and are not scored" in shown
    assert evaluate("--predictions", results, "--skip-bad", "--submission", "x") == 2


def own(names: list[str], file: str = "own.json") -> Path:
    """Annotations of one's own, without splits."""
    images = [{"id": n, "file_name": name} for n, name in enumerate(names, start=1)]
    annotations = [
        {"id": n, "image_id": n, "caption": f"A {word} stands on grass."}
        for n, word in enumerate(WORDS[: len(names)], start=1)
    ]
    path = Path(file)
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("split", [[], ["--split", "all"]])
def test_no_split_is_invented_for_a_file_of_predictions(
    data: Path, capsys: pytest.CaptureFixture[str], count: int, split: list[str]
) -> None:
    own([f"{n}.jpg" for n in range(count)])
    results = write_results(Path("mine.json"))
    results.write_text(json.dumps(json.loads(results.read_text())[:count]))
    assert evaluate("--predictions", results, "--data", "own.json", *split) == 0
    shown = capsys.readouterr().out
    assert f"mine.json on {count} images of own.json (all)" in shown
    assert "BLEU-4             1.000" in shown
    assert ("0 by definition for a single image" in shown) == (count == 1)
    assert ("computed on only 2 images" in shown) == (count == 2)


def test_an_image_of_another_split_is_told_from_an_unknown_one(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = write_results(Path("mine.json"), n100="a dog")
    assert evaluate("--predictions", results) == 1
    error = capsys.readouterr().err
    assert (
        "'100' (it is in the split 'train': measure that with --split train, or all with --split all)"
        in error
    )


@pytest.mark.parametrize("written", ["000000000001", "1.0", "000000000001.JPG", "x\\000000000001.jpg", 1.0])
def test_images_are_known_however_they_are_written(data: Path, written: object) -> None:
    results = write_results(Path("mine.json"))
    content = json.loads(results.read_text())
    content[0]["image_id"] = written
    results.write_text(json.dumps(content))
    assert evaluate("--predictions", results) == 0


def test_the_confidence_of_a_model_is_checked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_model(Path("mine"))
    captioner = Captioner.load(str(folder))
    captions_of = {
        n: captions[0]
        for n, captions in enumerate(captioner.caption(sorted((data / "val2017").iterdir())), start=1)
    }
    assert evaluate("--model", "mine") == 0
    assert "skipped metric: confidence (the model is not calibrated)" in capsys.readouterr().out
    file = data / "annotations" / "captions_val2017.json"
    content = json.loads(file.read_text())
    for copy in range(1, 10):  # 60 images: enough to say what is good
        for image in content["images"][:6]:
            number = 1000 * copy + image["id"]
            content["images"].append({"id": number, "file_name": f"{number:012}.jpg"})
            shutil.copy(data / "val2017" / image["file_name"], data / "val2017" / f"{number:012}.jpg")
        for number in range(18):
            one = content["annotations"][number]
            content["annotations"].append(
                one | {"id": 1000 * copy + one["id"], "image_id": 1000 * copy + one["image_id"]}
            )
    file.write_text(json.dumps(content))
    means = [float(np.mean(caption.word_log_probs)) for caption in captions_of.values()]
    captioner.calibration = Calibration((1.0, 0.0, 0.0, -float(np.median(means))), (0.0,) * 5, 0.5)
    captioner.save(folder)
    assert evaluate("--model", "mine", "--out", "out") == 0
    shown = capsys.readouterr().out
    card = json.loads(Path("out/mine.json").read_text())
    assert card["values"]["doubtful"] == pytest.approx(np.mean([m < np.median(means) for m in means]))
    assert {"good", "ECE", "doubtful, bad"} <= card["values"].keys()
    assert card["values"]["doubtful, bad"] == 1  # it is not trained
    assert "doubtful, bad    100.0 %   100.0 % to 100.0 %" in shown


@pytest.mark.parametrize("option", [("--format", "csv"), ("--images", "elsewhere")])
def test_how_to_read_a_dataset_is_refused_without_one(
    option: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--model", "everyday", *option]) == 2
    assert "--format and --images say how to read --data: name that too" in capsys.readouterr().err
