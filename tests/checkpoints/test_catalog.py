"""The models of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest

from showtell.checkpoints import catalog
from showtell.checkpoints.catalog import folder_bytes, known_names, list_models
from showtell.cli import main

CARD = """---
model-index:
- name: tiny
  results:
  - dataset: {name: COCO}
    metrics: [{name: BLEU-4, value: 0.2}, {name: CIDEr, value: 0.868}]
---
# Tiny
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, a folder of included models, and an empty cache of the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "MODELS", tmp_path / "models")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def write(folder: Path | str, **files: str) -> None:
    Path(folder).mkdir(parents=True)
    for name, text in files.items():
        Path(folder, name.replace("__", ".")).write_text(text)


def make_all() -> None:
    write("models/tiny", README__md=CARD, model__safetensors="x" * 2000)
    write("models/resnet", config__json='{"model_type": "resnet"}', model__safetensors="x")
    history = "epoch,val_loss,CIDEr,saved\n1,3,0.25,1\n2,4,0.125,0\n"
    settings = "data: {root: /photos/birds}\n"
    write("runs/mine", config__yaml=settings, history__csv=history, model__safetensors="x" * 70)
    write("exported/int8", showtell__json="{}", encoder__onnx="x" * 1000)
    snapshot = "hub/models--anna--small-model/snapshots/abc"
    write(snapshot, config__json='{"model_type": "showtell"}', model__safetensors="x", README__md=CARD)
    write("hub/models--bob--other/snapshots/abc", config__json='{"model_type": "bert"}')


def test_each_place_with_data_score_and_size(here: Path) -> None:
    make_all()
    models = {model.name: model for model in list_models()}
    assert [(m.name, m.place, m.kind) for m in models.values()] == [
        ("resnet", "included", "encoder"),
        ("tiny", "included", "captioner"),
        ("runs/mine", "run", "captioner"),
        ("exported/int8", "exported", "captioner"),
        ("anna/small-model", "hub cache", "captioner"),
    ]
    assert models["tiny"].scores == {"COCO": 0.868}
    assert models["tiny"].bytes == 2000 + len(CARD)
    assert (models["runs/mine"].scores, models["runs/mine"].bytes) == ({"birds": 0.25}, 70)
    assert not any(model.problem for model in models.values())
    assert set(known_names()) == models.keys()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"model__safetensors": "version https://git-lfs.github.com/spec/v1"}, "run git lfs pull"),
        ({"README__md": CARD}, "model.safetensors is missing"),
        ({"README__md": "no metadata", "model__safetensors": "x"}, ""),
        ({"README__md": "---\na: [\n---\n", "model__safetensors": "x"}, ""),
    ],
)
def test_what_is_wrong_with_an_included_model(files: dict[str, str], problem: str, here: Path) -> None:
    write("models/tiny", **files)
    (model,) = list_models()
    assert problem in model.problem
    assert bool(model.problem) is bool(problem)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"config__yaml": "data: {root: x}"}, "no model saved yet"),
        ({"config__yaml": "- 1", "model__safetensors": "x"}, "damaged"),
        ({"config__yaml": "data: {root: x}", "history__csv": "epoch,saved\n1,a\n"}, "damaged"),
    ],
)
def test_what_is_wrong_with_a_run(files: dict[str, str], problem: str, here: Path) -> None:
    write("runs/x", **files)
    (model,) = list_models()
    assert problem in model.problem


def test_the_command_prints_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "no trained run in runs/ here" in capsys.readouterr().out
    make_all()
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["resnet", "included"],
        ["tiny", "included"],
        ["runs/mine", "run"],
        ["exported/int8", "exported"],
        ["anna/small-model", "hub"],
    ]
    assert lines[3].endswith("birds  0.250  70 B    --model last") or "--model last" in lines[3]
    assert main(["models", "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)][1] == "tiny"


def test_a_file_with_links_to_it_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_bytes(bytes(1000))
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "model.safetensors").symlink_to("../blobs/x")
    assert folder_bytes(tmp_path) == 1000
    assert folder_bytes(tmp_path / "none") == 0
