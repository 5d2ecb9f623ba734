"""Exporting a model: the settings that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.cli import main
from showtell.errors import ModelError, UsageError
from showtell.exporting.hub_folder import write_hub_folder
from showtell.exporting.run import Agreement, ExportResult, export, model_name
from tests.commands.test_caption import save_model


@pytest.mark.parametrize("language", ["German", "d", "de_DE", "de\n"])
def test_another_name_of_a_language_is_refused(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--to-hub-folder", str(tmp_path / "hub"), "--language", language]
    assert main(["export", *settings]) == 2
    assert "give a code of ISO 639, such as en, de or zh" in capsys.readouterr().err


def test_an_ensemble_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(save_model(tmp_path / f"{seed}", seed=seed)) for seed in range(2)]
    captioner = Captioner.load_ensemble(names, device=torch.device("cpu"))
    with pytest.raises(ModelError, match="ensemble"):
        write_hub_folder(captioner, tmp_path, "both", tmp_path / "hub")
    assert main(["export", "--model", ",".join(names), "--to-hub-folder", str(tmp_path / "hub")]) == 2
    assert "one model, not an ensemble" in capsys.readouterr().err
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    "option", [["--out", "x"], ["--precision", "int8"], ["--photos", "x.jpg"], ["--precision", "bf16"]]
)
def test_options_of_graphs_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--to-hub-folder", "x", *option]) == 2
    assert f"{option[0].removeprefix('--')} is for graphs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "int4"}, "precision 'int4': take one of fp32, bf16, int8"),
        ({"precision": "int8"}, "int8 is calibrated on photos: name 20 or more"),
        ({"precision": "int8", "photos": "nope.jpg"}, "photos: no such file: nope.jpg"),
        ({"language": "de"}, "language is for the card of a hub folder"),
        ({"to_hub_folder": "hub", "language": "German"}, "give a code of ISO 639"),
        ({"to_hub_folder": "hub", "out": "x"}, "out is for graphs"),
        ({"to_hub_folder": "hub", "model": "a,b"}, "a hub folder has one model, not an ensemble"),
        ({"precisoin": "fp32"}, r"export\(\) has no argument 'precisoin'; did you mean 'precision'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(**settings)


def test_an_export_is_not_exported_again(exported: Path) -> None:
    with pytest.raises(UsageError, match="it is an exported model already"):
        export(exported)


def test_a_result_prints_its_files_and_agreement() -> None:
    files = {"encoder.onnx": 95_400_000, "step.onnx": 2_000_000}
    result = ExportResult(Path("out"), "mine", "fp32", files, 12.4, Agreement(3, 4, "openvino"))
    assert str(result).splitlines() == [
        "out: fp32, 97 MB, in 12 s",
        "  encoder.onnx      95.4 MB",
        "  step.onnx          2.0 MB",
        "3 of 4 captions by openvino are those of PyTorch",
    ]
    assert result.to_dict()["agreement"] == {"same": 3, "compared": 4, "runtime": "openvino"}
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    assert result.to_pandas().to_dict("list") == {"file": list(files), "bytes": list(files.values())}


def test_the_newest_run_is_exported_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(Path("runs/mine"))
    assert export("last", to_hub_folder="hub").name == "mine"


def test_a_comma_in_the_name_of_a_folder_is_no_ensemble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(Path("my, run"))
    assert export("my, run", to_hub_folder="hub").name == "my, run"
    assert model_name("my, run") == "my, run"
