"""`showtell data` as people run it."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from showtell.cli import main
from showtell.data.annotations import load_annotations
from showtell.data.known import catalog
from tests.data.annotations.datasets import coco, touch, write

Output = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    touch(tmp_path / "photos", "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path / "photos" / "captions.csv", "image,caption,split\na.jpg,a dog,train\nb.jpg,a cat,val\n")
    return tmp_path / "photos"


@pytest.mark.parametrize("arguments", [["data"], ["data", "list"]])
def test_all_datasets_are_listed(arguments: list[str], capsys: Output) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"{dataset.name} " in shown for dataset in catalog.DATASETS)


def test_a_dataset_is_described(capsys: Output) -> None:
    assert main(["data", "list", "vizwiz", "flickr30k"]) == 0
    shown = capsys.readouterr().out
    for text in ("CC BY 4.0", "https://vizwiz.org", "images/train.zip  11,298,421,598 bytes", "data/vizwiz"):
        assert text in shown
    assert "fill in https://forms.illinois.edu" in shown


def test_a_complete_folder_is_told(photos: Path, capsys: Output) -> None:
    assert main(["data", "check", str(photos)]) == 0
    shown = capsys.readouterr().out
    assert "1 of 1 photos here, 1 captions" in shown
    assert "splits decided by the field split of captions.csv" in shown
    assert "without captions: 1 photos" in shown
    assert f"complete, train on it: python main.py --data.root {photos}" in shown


def test_the_command_that_trains_names_photos_elsewhere(photos: Path, tmp_path: Path, capsys: Output) -> None:
    table = (photos / "captions.csv").rename(tmp_path / "mine.csv")
    assert main(["data", "check", str(table), "--data.images", str(photos)]) == 0
    assert capsys.readouterr().out.endswith(f"--data.root {table} --data.images {photos}\n")


def test_missing_photos_are_counted(photos: Path, capsys: Output) -> None:
    (photos / "a.jpg").unlink()
    assert main(["data", "check", str(photos)]) == 1
    shown = capsys.readouterr().out
    assert "0 of 1 photos here" in shown
    assert "missing: a.jpg" in shown


def test_a_part_of_a_known_dataset_is_recognised(tmp_path: Path, capsys: Output) -> None:
    write(
        tmp_path / "annotations" / "captions_val2017.json",
        coco({1: "1.jpg", 2: "2.jpg"}, [(1, "a"), (2, "b")]),
    )
    touch(tmp_path / "val2017", "1.jpg")
    assert main(["data", "check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "a part of COCO Captions 2017" in shown
    assert "1 of 123,287 photos here" in shown
    assert "the official split train" in shown
    assert f"get them: showtell data get coco --root {tmp_path}" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("check nowhere", 2, "no dataset 'nowhere'"),
        ("check photos --data.format jsn", 2, "'jsn' is none of"),
        ("get flickr8", 2, "flickr8: no dataset that is known; did you mean 'flickr8k'?"),
        ("chek x", 2, "'chek' is none of list, check, get, prepare, export; did you mean check?"),
        ("export photos --format coc --out x", 2, "did you mean coco?"),
        ("export photos --format coco", 2, "missing: --out"),
        ("export photos --format label-studio --out x.csv", 2, "name a .json file"),
        ("export photos --format coco --out x --predictions", 2, "--predictions is for"),
        ("export photos --format coco --out x --split test", 2, "has no such photos"),
        ("export photos --format coco --out x --home /usr", 1, "--home"),
        ("prepare nowhere", 2, "no such folder"),
    ],
)
def test_misuse_is_one_line(
    arguments: str, code: int, message: str, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main(["data", *arguments.split()]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error:") == 1


def test_archives_are_named_where_nothing_is_unpacked(tmp_path: Path, capsys: Output) -> None:
    touch(tmp_path, "train2017.zip")
    assert main(["data", "check", str(tmp_path)]) == 1
    assert f"not unpacked: train2017.zip; run showtell data prepare {tmp_path}" in capsys.readouterr().err


def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/captions.zip"
    source = replace(catalog.find_dataset("coco").sources[0], url=url)
    dataset = replace(catalog.find_dataset("coco"), sources=(source,))
    monkeypatch.setattr(catalog, "DATASETS", (dataset,))
    assert main(["data", "get", "coco", "--root", str(tmp_path)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {url}: cannot be downloaded (Connection refused); check the network")
    assert str(tmp_path / "captions.zip") in error


@pytest.mark.parametrize(
    ("kind", "out", "root"), [("coco", "out", "out"), ("label-studio", "t.json", "t.json")]
)
def test_a_dataset_is_exported_and_read_again(
    kind: str, out: str, root: str, photos: Path, tmp_path: Path, capsys: Output
) -> None:
    assert main(["data", "export", str(photos), "--format", kind, "--out", str(tmp_path / out)]) == 0
    assert "2 photos, 2 captions" in capsys.readouterr().out
    loaded = load_annotations(tmp_path / root, images=photos)
    assert loaded.format == kind
    assert [(image.path.name, image.split, image.captions) for image in loaded.images] == [
        ("a.jpg", "train", ("a dog",)),
        ("b.jpg", "val", ("a cat",)),
    ]


def test_one_split_is_exported_for_people_to_correct(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "tasks.json"
    words = ["data", "export", str(photos), "--format", "label-studio", "--out", str(out)]
    assert main([*words, "--split", "val", "--predictions"]) == 0
    (task,) = json.loads(out.read_text())
    assert task["data"]["split"] == "val"
    assert "annotations" not in task
