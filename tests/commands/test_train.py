"""`main.py`: training on two datasets of different formats, resuming, evaluating, and mistakes."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from torch import Tensor

from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.checkpoints.run_summary import read_run
from showtell.cli import main
from showtell.config import DEVICE_VARIABLE, DataConfig
from showtell.data.prepare import prepare_data
from showtell.data.records import CaptionedImage
from showtell.evaluation.scorecard import ScoreCard
from showtell.features.store import CachedFeatures
from tests.commands.photo_folder import make_photo_folder
from tests.conftest import make_snippets, make_tiny_backbone, save_backbone
from tests.reporting.test_render import Page

COLOURS, THINGS = ("red", "green", "blue"), ("dog", "cat", "boat", "hat")


def text_of(number: int) -> str:
    return f"a {COLOURS[number % 3]} {THINGS[number % 4]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`boats`, a table, and `animals` in COCO's layout, some of its captions by a model; a tiny encoder."""
    folder = tmp_path_factory.mktemp("datasets")
    paths = make_snippets(folder / "boats", 12)
    with (folder / "boats" / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption", "split"])
        for number, path in enumerate(paths):
            split = "val" if number >= 8 else "train"
            writer.writerows([[path.name, f"{text_of(number)}{more}", split] for more in ("", " again")])
    animals = folder / "animals"
    (animals / "annotations").mkdir(parents=True)
    for split, first, count in (("train2017", 0, 8), ("val2017", 20, 4)):
        for number, path in enumerate(make_snippets(animals / split, count)):
            path.rename(path.with_name(f"{first + number}.jpg"))
        annotations = [
            {"image_id": first + n, "caption": f"{who} {text_of(n)}", "source": source}
            for n in range(count)
            for who, source in (("see", "person"), ("look", "person"), ("robot", "model"))
        ]
        images = [{"id": first + n, "file_name": f"{first + n}.jpg"} for n in range(count)]
        content = {"images": images, "annotations": annotations}
        (animals / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    save_backbone(folder / "encoder", make_tiny_backbone())
    return folder


def settings(folder: Path, out: Path) -> list[str]:
    values = {
        "data.min_count": 1,
        "data.test_fraction": 0,
        "data.model_captions": 0.5,
        "encoder.weights": folder / "encoder",
        "encoder.image_size": 64,
        "encoder.precision": "fp32",
        "cache.dir": folder / "cache",
        "cache.views": "[full,flip]",
        "decoder.embedding_dim": 8,
        "decoder.hidden_dim": 8,
        "decoder.attention_dim": 8,
        "training.epochs": 2,
        "self_critical.epochs": 1,
        "training.batch_size": 8,
        "training.precision": "fp32",
        "training.logged_photos": 0,
        "out": out,
    }
    return [f"--{name}={value}" for name, value in values.items()]


class Trained(NamedTuple):
    """A run that has been trained, and what was logged."""

    folder: Path
    log: str


@pytest.fixture(scope="module")
def trained(folder: Path) -> Trained:
    """A run on both datasets, set by a configuration file, on the CPU."""
    config = folder / "both.yaml"
    roots = [str(folder / "boats"), {"root": str(folder / "animals"), "format": "coco", "weight": 1.5}]
    config.write_text(yaml.safe_dump({"data": {"root": roots}}))
    log = io.StringIO()
    with contextlib.redirect_stderr(log), pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, "cpu")
        assert main(["train", "--config", str(config), *settings(folder, folder / "run")]) == 0
    return Trained(folder / "run", log.getvalue())


def history(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


def test_each_dataset_has_its_lines_and_scores(trained: Trained) -> None:
    assert "boats+animals: 16 train, 8 val, 0 test images" in trained.log
    assert "\n  boats: 8 train, 4 val, 0 test images" in trained.log
    best = trained.log[trained.log.index("Best model") :]
    assert "(means of the datasets)" in best
    assert "\n  boats: val loss " in best
    assert "\n  animals: val loss " in best
    assert (trained.folder / "loss.png").stat().st_size > 1000
    for row in history(trained.folder):
        for name in ("val_loss", "CIDEr", "BLEU-4"):
            each = [float(row[f"{name}/{dataset}"]) for dataset in ("boats", "animals")]
            assert float(row[name]) == pytest.approx(sum(each) / 2, rel=1e-5)


@pytest.mark.usefixtures("on_cpu")
def test_it_is_resumed_from_its_own_settings(
    folder: Path, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 + 1.5 x 8 images to train on and 8 to validate on, each epoch; named on the command line."""
    root = f"--data.root=[{folder}/boats, {{root: {folder}/animals, format: coco, weight: 1.5}}]"
    plain, calls = CachedFeatures.__call__, itertools.count(1)

    def dying(source: CachedFeatures, image: CaptionedImage, draw: int | None) -> Tensor:
        if next(calls) == (20 + 8) + 9:
            raise RuntimeError("killed")
        return plain(source, image, draw)

    part = tmp_path / "part"
    with monkeypatch.context() as patch:
        patch.setattr(CachedFeatures, "__call__", dying)
        assert main(["train", root, *settings(folder, part), "--training.checkpoint_minutes=0"]) == 1
    assert (part / CHECKPOINT).exists()
    assert len(history(part)) == 1
    config = part / "config.yaml"
    assert yaml.safe_load(config.read_text())["data"]["root"][1]["weight"] == 1.5
    assert main(["train", "--config", str(config), "--resume"]) == 0
    kept = ("epoch", "train_loss", "reward", "val_loss", "val_loss/boats", "CIDEr/animals", "saved")
    ours, theirs = ([[row[name] for name in kept] for row in history(run)] for run in (part, trained.folder))
    assert len(theirs) == 3
    assert ours == theirs


def test_a_run_of_two_datasets_is_evaluated_on_both(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate = ["evaluate", "--model", str(trained.folder), "--java", "false"]
    assert main(evaluate) == 0
    shown = capsys.readouterr().out
    assert f"{trained.folder} on 4 images of boats (val, beam 3)" in shown
    assert f"{trained.folder} on 4 images of animals (val, beam 3)" in shown
    cards = {name: [*Path("reports", f"{name}-val").glob("*.json")] for name in ("boats", "animals")}
    assert [len(files) for files in cards.values()] == [1, 1]
    for name, (file,) in cards.items():
        values = ScoreCard.load(file).values
        saved = [row for row in history(trained.folder) if float(row["saved"])][-1]
        assert values["CIDEr"] == pytest.approx(float(saved[f"CIDEr/{name}"]), abs=1e-5)
    assert main([*evaluate, "--out", "mine"]) == 0
    assert sorted(path.name for path in Path("mine").iterdir()) == ["animals-val", "boats-val"]


def test_captions_of_a_model_are_no_references_unless_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    captions = [{"image_id": 20 + n, "caption": f"robot {text_of(n)}"} for n in range(4)]
    Path("mine.json").write_text(json.dumps(captions))
    arguments = ["evaluate", "--data", str(folder / "animals"), "--java", "false", "--out", "out"]
    scores = {}
    for more in ([], ["--references", "person"], ["--references", "all"]):
        assert main([*arguments, "--predictions", "mine.json", *more]) == 0
        scores[tuple(more)] = ScoreCard.load(Path("out/mine.json.json")).values["BLEU-4"]
    person, all_ = scores["--references", "person"], scores["--references", "all"]
    assert scores[()] == person < all_ == pytest.approx(1)


def test_a_run_of_two_datasets_has_a_page_for_each(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--model", str(trained.folder), "--java", "false"]) == 0
    files = [Path(line.split(" (")[0]) for line in capsys.readouterr().out.splitlines()]
    assert [file.parent for file in files] == [Path("reports/boats-val"), Path("reports/animals-val")]
    boats, animals = map(Page, files)
    assert len(boats.data["photos"]) == len(animals.data["photos"]) == 4
    assert animals.data["photos"][0]["people"] == ["see a red dog", "look a red dog"]
    (curve,) = (a["alt"] for tag, a in boats.elements if tag == "img" and "Loss" in (a.get("alt") or ""))
    assert "val_loss/boats" in str(curve)
    assert "val_loss/animals" in str(curve)


def test_the_datasets_of_a_run_are_named_without_paths(trained: Trained) -> None:
    facts = read_run(trained.folder)
    assert facts is not None
    assert facts.dataset == "boats+animals"


@pytest.mark.parametrize(
    ("root", "code", "named"),
    [
        ("[]", 2, "data.root is an empty list"),
        ("[FOLDER/boats, {root: FOLDER/animals, wieght: 2}]", 2, "a dataset has no wieght"),
        ("[FOLDER/boats, {root: FOLDER/animals, weight: 0}]", 2, "the weight of"),
        ("[FOLDER/boats, {root: FOLDER/animals, format: cocoa}]", 2, "'cocoa' is none of auto"),
        ("[FOLDER/boats, {weight: 2}]", 2, "an entry without root"),
        ("{root: FOLDER/boats, weight: 2}", 2, "is not a dataset; write {root: FOLDER"),
        ("[FOLDER/boats, no/such]", 2, "no dataset 'no/such'"),
        ("[FOLDER/boats, FOLDER/encoder]", 1, "no captions of a known format"),
        ("[FOLDER/boats, FOLDER/animals/annotations/captions_train2017.json]", 1, "no image to validate on"),
    ],
)
def test_mistakes_get_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], root: str, code: int, named: str
) -> None:
    arguments = [*settings(folder, tmp_path / "run"), "--data.val_fraction=0"]
    config = tmp_path / "config.yaml"
    content = root.replace("FOLDER/", f"{folder}/")
    config.write_text(f"data:\n  root: {content}\n")
    ways = [[f"--data.root={content}"]]
    if content.startswith("["):
        ways.append(["--config", str(config)])
    for way in ways:
        assert main(["train", *way, *arguments]) == code
        *before, error = capsys.readouterr().err.strip().splitlines()
        assert all(line.startswith("Read ") for line in before)
        assert error.startswith("error: ")
        assert named in error
    assert not (tmp_path / "run").exists()


def test_two_datasets_of_one_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("showtell.commands.preprocess.write_statistics_page", lambda *_: "page.html")
    again = tmp_path / "boats"
    again.symlink_to(folder / "boats")
    report = ["--report", str(tmp_path / "report"), "--extract", "false"]
    arguments = [f"--data.root=[{folder}/boats, {again}]", "--data.min_count=1", *report]
    assert main(["preprocess", *arguments]) == 0
    log = capsys.readouterr().err
    assert "boats+boats-2: " in log
    assert "\n  boats-2: " in log
    splits = json.loads((tmp_path / "report" / "splits.json").read_text())
    assert {image.partition("/")[0] for image in splits["val"]} == {"boats", "boats-2"}


def test_no_dataset_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data.root", "no/such/folder"]) == 2
    error = capsys.readouterr().err
    assert "no/such/folder" in error
    assert len(error.strip().splitlines()) == 1


def test_training_stops_at_a_bad_image_or_leaves_it_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photo_folder(tmp_path / "photos"), tmp_path / "run"
    data = prepare_data(DataConfig(root=str(photos), val_fraction=0.2, test_fraction=0.2), tmp_path)
    learned, held_out = data.train[0].path, data.test[0].path
    for broken in (learned, held_out):
        broken.write_bytes(broken.read_bytes()[:200])
    arguments = ["train", "--data.root", str(photos), "--init", "none", *settings(folder, out)]
    arguments += ["--data.val_fraction=0.2", f"--cache.dir={tmp_path / 'cache'}", "--self_critical.epochs=0"]
    arguments += ["--data.test_fraction=0.2", "--training.epochs=1"]
    assert main(arguments) == 1
    assert learned.name in capsys.readouterr().err
    assert main([*arguments, "--skip-bad"]) == 0
    log = capsys.readouterr().err
    assert "dropped 1: photo that cannot be decoded" in log
    assert f"  {held_out.name}: {held_out}: " in log, "its caption cannot be shown"
    assert f"{out} already contains a run; writing to {out}-2" in log.splitlines()[0]
    assert "--model" in log
    assert (tmp_path / "run-2" / "model.safetensors").exists()  # the failed run was not overwritten


def test_resume_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "--out", str(tmp_path / "none")]) == 2
    assert "no run to resume" in capsys.readouterr().err


def test_resume_and_out_that_name_different_runs_are_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--resume", str(trained.folder), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"--out {tmp_path}: --resume continues {trained.folder}; leave one of the two out" in error
