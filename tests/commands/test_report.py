import json
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.cli import main
from tests.commands.test_caption import save_model
from tests.commands.test_evaluate import data, write_results  # noqa: F401 - a fixture
from tests.reporting.test_render import Page


def report(*arguments: object) -> int:
    return main(["report", "--java", "false", "--data", "animals", "--out", "out", *map(str, arguments)])


@pytest.mark.usefixtures("data")
def test_a_file_of_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    write_results(Path("mine.json"), n2="a dog flies")
    assert report("--predictions", "mine.json") == 0
    path = Path("out/mine.json.html")
    assert capsys.readouterr().out.startswith(f"{path} (0.")
    page = Page(path)
    images = page.data["photos"]
    assert [image["name"] for image in images] == [f"{n:012}.jpg" for n in range(1, 7)]
    assert images[1]["shown"][0]["text"] == "a dog flies"
    assert images[1]["people"] == ["A cat stands on grass.", "A cat is outside.", "A cat rests by day."]
    assert images[0]["shown"][0]["score"] > images[1]["shown"][0]["score"]
    assert json.loads(Path("out/mine.json.json").read_text())["model"] == "mine.json"


@pytest.mark.usefixtures("data")
def test_earlier_runs_stand_beside(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_results(Path("first.json")), write_results(Path("second.json"), "flies")
    assert report("--predictions", first) == 0
    assert report("--predictions", second) == 0
    capsys.readouterr()
    text = " ".join(Page(Path("out/second.json.html")).text.split())
    assert "score second.jsonfirst.json" in text.replace("score" + "second", "score second")
    assert "BLEU-1 0.8000.800 to 0.800 1.0001.000 to 1.000" in text


@pytest.mark.usefixtures("data")
def test_a_model_beside_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The model is a run: its curves are shown, and where it looked."""
    model = save_model(Path("runs/tiny"))
    captioner = Captioner.load(str(model))
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.6)
    captioner.save(model)
    (model / "history.csv").write_text("epoch,train_loss,val_loss,CIDEr\n1,3,3.5,0.1\n2,2,2.5,nan\n")
    write_results(Path("mine.json"))
    assert report("--model", model, "--against", "mine.json") == 0
    capsys.readouterr()
    page = Page(Path("out/runs-tiny-vs-mine.json.html"))
    alt_texts = [attributes.get("alt") or "" for tag, attributes in page.elements if tag == "img"]
    assert alt_texts[0].startswith("Loss by epoch: runs/tiny: train_loss goes from 3 to 2 at epoch 2;")
    assert alt_texts[1] == "Scores on validation by epoch: runs/tiny: CIDEr goes from 0.1 to 0.1 at epoch 1."
    mine, theirs = page.data["photos"][0]["shown"]
    assert mine["grid"] == [2, 2]
    assert len(mine["p"]) == len(mine["words"])
    assert "looked" not in theirs
    assert (mine["confidence"], mine["doubtful"]) == (0.5, True)
    assert "doubtful" not in theirs
    assert "runs/tiny against mine.json" in page.text


def test_a_photo_that_cannot_be_shown_is_named(
    data: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_results(Path("mine.json"))
    (data / "val2017" / f"{3:012}.jpg").write_bytes(b"no photo")
    assert report("--predictions", "mine.json") == 2
    assert f"{3:012}.jpg" in capsys.readouterr().err
