"""`main.py` with two datasets of different formats: training, resuming, evaluating, reporting."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest
import yaml
from torch import Tensor

from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.checkpoints.run_summary import read_run
from showtell.cli import main, run_command
from showtell.data.records import CaptionedImage
from showtell.evaluation.scorecard import ScoreCard
from showtell.features.store import CachedFeatures
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
        "training.batch_size": 8,
        "training.precision": "fp32",
        "out": out,
    }
    return [f"--{name}={value}" for name, value in values.items()]


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """A run, set by a configuration file."""
    config = folder / "both.yaml"
    roots = [str(folder / "boats"), {"root": str(folder / "animals"), "format": "coco", "weight": 1.5}]
    config.write_text(yaml.safe_dump({"data": {"root": roots}}))
    assert main(["train", "--config", str(config), *settings(folder, folder / "run")]) == 0
    return folder / "run"


def history(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


def test_each_dataset_is_told_of(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line gives the run that the configuration file gave."""
    root = f"[{folder}/boats, {{root: {folder}/animals, format: coco, weight: 1.5}}]"
    assert main(["train", "--data.root", root, *settings(folder, tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "boats+animals: 16 train, 8 val, 0 test images" in said
    assert "\n  boats: 8 train, 4 val, 0 test images" in said
    best = said[said.index("Best model") :]
    assert "(means of the datasets)" in best
    assert "\n  boats: val loss " in best
    assert "\n  animals: val loss " in best
    assert (tmp_path / "run" / "loss.png").stat().st_size > 1000
    rows = history(tmp_path / "run")
    for row in rows:
        for name in ("val_loss", "CIDEr", "BLEU-4"):
            each = [float(row[f"{name}/{dataset}"]) for dataset in ("boats", "animals")]
            assert float(row[name]) == pytest.approx(sum(each) / 2, rel=1e-5)
    losses = [[row[name] for name in ("train_loss", "val_loss", "CIDEr")] for row in rows]
    assert losses == [[row[name] for name in ("train_loss", "val_loss", "CIDEr")] for row in history(trained)]


def test_it_is_resumed_from_its_own_settings(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 + 0.5 x 8 images to train on and 8 to validate on, each epoch."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    root = f"--data.root=[{folder}/boats, {{root: {folder}/animals, weight: 0.5}}]"
    more = ["--training.epochs=3", "--training.checkpoint_minutes=0", "--self_critical.epochs=1"]
    assert main(["train", root, *settings(folder, whole), *more]) == 0
    plain, calls = CachedFeatures.__call__, itertools.count(1)

    def dying(source: CachedFeatures, image: CaptionedImage, draw: int | None) -> Tensor:
        if next(calls) == 2 * (12 + 8) + 9:
            raise RuntimeError("killed")
        return plain(source, image, draw)

    with monkeypatch.context() as patch:
        patch.setattr(CachedFeatures, "__call__", dying)
        assert main(["train", root, *settings(folder, part), *more]) == 1
    assert (part / CHECKPOINT).exists()
    assert len(history(part)) == 2
    config = part / "config.yaml"
    assert yaml.safe_load(config.read_text())["data"]["root"][1]["weight"] == 0.5
    assert main(["train", "--config", str(config), "--resume"]) == 0
    kept = ("epoch", "train_loss", "reward", "val_loss", "val_loss/boats", "CIDEr/animals", "saved")
    ours, theirs = ([[row[name] for name in kept] for row in history(run)] for run in (part, whole))
    assert len(theirs) == 4
    assert ours == theirs


def test_a_run_of_two_datasets_is_evaluated_on_both(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate = ["evaluate", "--model", str(trained), "--java", "false"]
    assert main(evaluate) == 0
    said = capsys.readouterr().out
    assert f"{trained} on 4 images of boats (val, beam 3)" in said
    assert f"{trained} on 4 images of animals (val, beam 3)" in said
    cards = {name: [*Path("reports", f"{name}-val").glob("*.json")] for name in ("boats", "animals")}
    assert [len(files) for files in cards.values()] == [1, 1]
    for name, (file,) in cards.items():
        values = ScoreCard.load(file).values
        saved = [row for row in history(trained) if float(row["saved"])][-1]
        assert values["CIDEr"] == pytest.approx(float(saved[f"CIDEr/{name}"]), abs=1e-5)
    assert main([*evaluate, "--out", "mine"]) == 0
    assert sorted(path.name for path in Path("mine").iterdir()) == ["animals-val", "boats-val"]


def test_captions_of_a_model_are_no_references_unless_asked_for(
    folder: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = [{"image_id": 20 + n, "caption": f"robot {text_of(n)}"} for n in range(4)]
    Path("said.json").write_text(json.dumps(said))
    arguments = ["evaluate", "--data", str(folder / "animals"), "--java", "false", "--out", "out"]
    scores = {}
    for more in ([], ["--references", "person"], ["--references", "all"]):
        assert main([*arguments, "--predictions", "said.json", *more]) == 0
        scores[tuple(more)] = ScoreCard.load(Path("out/said.json.json")).values["BLEU-4"]
    person, all_ = scores["--references", "person"], scores["--references", "all"]
    assert scores[()] == person < all_ == pytest.approx(1)


def test_a_run_of_two_datasets_has_a_page_for_each(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--model", str(trained), "--java", "false"]) == 0
    files = [Path(line.split(" (")[0]) for line in capsys.readouterr().out.splitlines()]
    assert [file.parent for file in files] == [Path("reports/boats-val"), Path("reports/animals-val")]
    boats, animals = map(Page, files)
    assert len(boats.data["photos"]) == len(animals.data["photos"]) == 4
    assert animals.data["photos"][0]["people"] == ["see a red dog", "look a red dog"]
    (curve,) = (a["alt"] for tag, a in boats.elements if tag == "img" and "Loss" in (a.get("alt") or ""))
    assert "val_loss/boats" in str(curve)
    assert "val_loss/animals" in str(curve)


def test_the_datasets_of_a_run_are_named_without_paths(trained: Path) -> None:
    facts = read_run(trained)
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


def test_two_datasets_of_one_name(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "boats"
    again.symlink_to(folder / "boats")
    report = ["--report", str(tmp_path / "report"), "--extract", "false"]
    arguments = [f"--data.root=[{folder}/boats, {again}]", "--data.min_count=1", *report]
    assert main(["preprocess", *arguments]) == 0
    said = capsys.readouterr().err
    assert "boats+boats-2: " in said
    assert "\n  boats-2: " in said
    splits = json.loads((tmp_path / "report" / "splits.json").read_text())
    assert {image.partition("/")[0] for image in splits["val"]} == {"boats", "boats-2"}


def test_no_dataset_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", ["--data.root", "no/such/folder"], prog="test") == 2
    error = capsys.readouterr().err
    assert "no/such/folder" in error
    assert len(error.strip().splitlines()) == 1


def test_training_stops_at_a_bad_image_or_leaves_it_out(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = dataset / "0003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    settings = ["--data.root", str(dataset), "--data.min_count", "1", "--data.val_fraction", "0.2"]
    settings += ["--data.test_fraction", "0", "--encoder.image_size", "32", "--training.epochs", "1"]
    settings += [f"--decoder.{name}_dim=8" for name in ("embedding", "hidden", "attention")]
    settings += ["--cache.dir", str(tmp_path / "cache"), "--out", str(tmp_path / "run")]
    assert run_command("train", settings, prog="test") == 1
    assert "0003.jpg" in capsys.readouterr().err
    assert run_command("train", [*settings, "--skip-bad"], prog="test") == 0
    said = capsys.readouterr().err
    assert "dropped 1: photo that cannot be decoded" in said
    assert f"{tmp_path}/run holds a run already: this one goes to {tmp_path}/run-2" in said.splitlines()[0]
    assert "--model" in said
    assert (tmp_path / "run-2" / "model.safetensors").exists()  # the failed run was not overwritten


def test_resume_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", ["--resume", "--out", str(tmp_path / "none")], prog="test") == 1
    assert "no run to resume" in capsys.readouterr().err
